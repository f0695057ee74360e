"""How long a manifest of the paper's size takes to open, and how much memory a rank needs for it.

    python experiments/data_scale/make.py --out /tmp/data_scale --train 440000 --val 4400
    python experiments/data_scale/run.py --corpus /tmp/data_scale --out experiments/data_scale/results.json

Each figure is of a process of its own. Seconds are of the clock and of the processor (the process and its children,
all cores together: what a clock shows on a busy machine depends on its other work); memory is the peak of the resident
set, of the process itself and of the largest of its children.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

BOTH = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def opened(corpus: Path) -> None:
    """The first rank's check of the lines."""
    from cogrl.data.line_check import check_lines
    from cogrl.data.manifest_file import ManifestFile

    check_lines(ManifestFile(corpus / "train.jsonl"))


def another_rank(corpus: Path) -> None:
    """What the other ranks do: find the lines. What was checked is sent to them."""
    from cogrl.data.manifest_file import ManifestFile

    ManifestFile(corpus / "train.jsonl")


def started(corpus: Path) -> None:
    """Everything before the first step that the data module does, on one rank."""
    from cogrl.data.module import AudioData

    AudioData(train=str(corpus / "train.jsonl"), val=str(corpus / "val.jsonl")).setup("fit")


def with_stage(corpus: Path) -> None:
    """A start, and what `Sft` asks of every line: that it has its targets and fits into the model's positions."""
    from torch.utils.data import ConcatDataset

    from cogrl.data.module import AudioData
    from cogrl.models.qwen2_audio import Qwen2Audio
    from cogrl.stages import Sft

    data = AudioData(train=str(corpus / "train.jsonl"), val=str(corpus / "val.jsonl"))
    data.setup("fit")
    Sft(Qwen2Audio(str(corpus / "policy")).load()).check(ConcatDataset([data.examples["train"], data.examples["val"]]))


def policy(corpus: Path) -> None:
    """The embedded model with random weights, for `with_stage`."""
    from cogrl.data.manifest import read_manifest
    from cogrl.models.tiny import build_tiny_model

    examples = read_manifest(corpus / "val.jsonl")[:500]
    build_tiny_model(corpus / "policy", [text for e in examples for text in (e.text, *e.targets.values())])


def batches(corpus: Path) -> None:
    """The first thousand batches of an epoch of 16 clips, decoded in this process."""
    from cogrl.audio_facts import AudioFacts
    from cogrl.data.clips import Batches, Clips
    from cogrl.data.lazy_examples import LazyExamples
    from cogrl.data.manifest_file import ManifestFile
    from cogrl.data.shuffled_batches import ShuffledBatches

    examples = LazyExamples(ManifestFile(corpus / "train.jsonl"))
    loaded = Batches(Clips(examples, 16_000, 30.0, False, facts=AudioFacts(corpus)))
    for number, places in enumerate(ShuffledBatches(len(examples), 16, 0, 0, 1)):
        if number == 1000:
            break
        loaded[places]


PARTS = {
    "lines checked": opened,
    "lines found": another_rank,
    "start": started,
    "policy": policy,
    "start with stage": with_stage,
    "1000 batches": batches,
}


def processor_s() -> float:
    """Seconds of the processor that this process and its children that ended have used."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, BOTH))


def measure(part: str, corpus: Path) -> None:
    """Print what one part costs; to be called in a process of its own."""
    import cogrl.data.module  # noqa: F401 - its import is not what is measured
    import cogrl.stages  # noqa: F401

    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    begin, processor = time.monotonic(), processor_s()
    PARTS[part](corpus)
    seconds, processor = time.monotonic() - begin, processor_s() - processor
    own, children = (resource.getrusage(who).ru_maxrss // 1024 for who in BOTH)
    found = {"seconds": round(seconds, 1), "processor_s": round(processor, 1), "imports_mb": before_mb}
    found |= {"peak_mb": own, "largest_child_mb": children}
    print(json.dumps(found))


def in_a_process(part: str, corpus: Path) -> dict:
    words = [sys.executable, __file__, "--corpus", str(corpus), "--part", part]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.part:
        measure(options.part, options.corpus)
        return
    for split in ("train", "val"):
        for suffix in (".audio.npz", ".passed.npz"):
            (options.corpus / f"{split}.jsonl{suffix}").unlink(missing_ok=True)
    results: dict = {
        "lines": sum(1 for _ in (options.corpus / "train.jsonl").open("rb")),
        "megabytes": (options.corpus / "train.jsonl").stat().st_size // 2**20,
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.processor() or platform.machine(),
    }
    in_a_process("policy", options.corpus)
    for name, part in (
        ("lines checked, first rank", "lines checked"),
        ("lines found, other ranks", "lines found"),
        ("first start", "start"),
        ("second start", "start"),
        ("second start and the stage's check of every line", "start with stage"),
        ("1000 batches of 16 clips", "1000 batches"),
    ):
        results[name] = in_a_process(part, options.corpus)
        print(name, results[name], flush=True)
    kept = options.corpus.glob("train.jsonl.*.npz")
    results["kept_megabytes"] = round(sum(file.stat().st_size for file in kept) / 2**20, 1)
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
