"""How right and how fast is evidence that is measured from waveforms? python experiments/perception_evidence/run.py

Needs PAQA-mini (`cogrl build paqa`). Writes results.json and results.md beside this file.
"""

import argparse
import json
import platform
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cogrl.audio import load_audio
from cogrl.data.manifest import read_manifest
from cogrl.formats.answer import read_answer
from cogrl.markdown import markdown_table
from cogrl.rewards.perception import Reference, checked_claims
from cogrl.rewards.perception.claims import claims_of
from cogrl.rewards.perception.facts import check
from cogrl.rewards.perception.measured import Measured
from cogrl.types import Clip

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
VOICES = {"low": 98.0, "middle": 156.0, "high": 247.0}
STATUSES = ("supported", "contradicted", "unverifiable")
SECTIONS = {"speaker": "voices: count and names", "description": "who is first"}


def rate(work: Callable[[], object], clips: int) -> float:
    """Clips a second of this process's own CPU time."""
    start = time.process_time()
    work()
    return clips / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=ROOT / "data/paqa-mini/test.jsonl")
    parser.add_argument("--completions", type=int, default=8, help="answers about each clip in the batch")
    args = parser.parse_args()
    examples = read_manifest(args.corpus)
    clips = [Clip(example, load_audio(example.audio)) for example in examples]
    right = [replace(read_answer(c.example.target("paqa"), "paqa", c.example), clip=c) for c in clips]

    measured, reference = Measured(VOICES), Reference()
    uncached = rate(lambda: measured.facts(right), len(clips))
    batch = [replace(answer) for answer in right for _ in range(args.completions)]
    cached = rate(lambda: checked_claims(batch, measured), len(clips))
    repeated = [replace(answer) for answer in batch]
    gold = rate(lambda: checked_claims(repeated, reference), len(clips))

    outcomes: dict[str, dict[str, dict[str, Counter]]] = {section: {} for section in SECTIONS}
    for i, (answer, facts, gold_facts) in enumerate(
        zip(right, measured.facts(right), reference.facts(right), strict=True)
    ):
        floor_db = int(answer.example.snr_db // 5 * 5)
        others = claims_of(right[(i + 1) % len(right)])  # true of another clip, some of them of this one, too
        for section in SECTIONS:
            truths = [status for _, status in check(claims_of(answer), facts).of(section)]
            judged = zip(check(others, facts).of(section), check(others, gold_facts).of(section), strict=True)
            falsehoods = [status for (_, status), (_, truth) in judged if truth == "contradicted"]
            for group in (f"{floor_db:2d} to {floor_db + 5} dB", answer.example.environment, "all"):
                counts = outcomes[section].setdefault(group, {"true": Counter(), "false": Counter()})
                counts["true"].update(truths)
                counts["false"].update(falsehoods)
    result = {
        "clips": len(clips),
        "mean_duration_s": sum(len(clip.waveform) for clip in clips) / len(clips) / 16000,
        "completions_a_clip": args.completions,
        "machine": platform.machine(),
        "clips_a_second_of_one_core": {"measured anew": uncached, "out of the cache": cached, "gold": gold},
        "claims": outcomes,
    }
    (HERE / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    (HERE / "results.md").write_text(report(result))
    print(report(result))


def report(result: dict) -> str:
    rates = [[name, f"{rate:,.0f}"] for name, rate in result["clips_a_second_of_one_core"].items()]
    head = [f"facts and checks of {result['completions_a_clip']} answers a clip", "clips a second of one core"]
    rows = []
    for section, groups in result["claims"].items():
        for group, kinds in sorted(groups.items()):
            cells = [f"{100 * counts[name] / counts.total():.1f}" for counts in kinds.values() for name in STATUSES]
            rows.append([SECTIONS[section], group, *(str(counts.total()) for counts in kinds.values()), *cells])
    shares = [f"{kind}: {name}, %" for kind in ("true", "false") for name in STATUSES]
    claims = ["claims about", "clips", "true claims", "false claims", *shares]
    return markdown_table(head, rates) + "\n" + markdown_table(claims, rows)


if __name__ == "__main__":
    main()
