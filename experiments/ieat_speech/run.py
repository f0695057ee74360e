"""Spoken replies of the embedded model, three seeds and variants, two at a time: python experiments/ieat_speech/run.py

Writes results.json and results.md from every report that is there. Finished steps are not run again.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cogrl.cli.pipeline.durations import step_seconds, time_table
from cogrl.cli.pipeline.experiment import experiment_options, write_results
from cogrl.cli.pipeline.side_by_side import seeds_and_overlays, side_by_side
from cogrl.evaluate.choice.seed_answers import leaves_out_zero
from cogrl.evaluate.seeds import Answered, SeedFigure, over_seeds, read_seeds
from cogrl.evaluate.tables import percent
from cogrl.markdown import markdown_table

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
PIPELINE = "configs/pipelines/ieat_mini.yaml"
FULL = "joint"
VARIANTS = tuple(sorted(file.stem for file in HERE.glob("*.yaml")))
CONTROL = "transcript"
"""The same policy given the words of the user in place of the voice."""
CORPORA = {
    "the voices": ["build", "lime-mini", "--out", "data/lime-mini"],
    "the dialogues": ["build", "ieat", "--out", "data/ieat-mini"],
}
DIALOGUES = [f"data/ieat-mini/{split}.jsonl" for split in ("train", "val", "test")]
SPOKEN = {"their spoken replies": ["build", "spoken-replies", "--manifest", *DIALOGUES, "--out", "data/ieat-mini-spoken"]}


def run_dir(variant: str, seed: int) -> Path:
    return ROOT / "runs" / ("ieat_mini" if variant == FULL else f"ieat_speech/{variant}") / f"seed{seed}"


def reported(variant: str, seeds: Sequence[int]) -> list[int]:
    return [seed for seed in seeds if (run_dir(variant, seed) / "report" / "answers.jsonl").exists()]


def read(variant: str, seeds: Sequence[int]) -> dict[str, Answered]:
    """The answers by what the policy was given: voice, or transcript."""
    (answered,) = read_seeds([run_dir(variant, seed) / "report" / "answers.jsonl" for seed in seeds]).values()
    given = ("voice", CONTROL)
    return {name: Answered([[r for r in seed if r["given"] == name] for seed in answered.records]) for name in given}


KEYS = {"sounds": "voice as intended, %", "worded": "words as intended, %"}


def figures(answered: Answered) -> dict[str, SeedFigure]:
    return {key: over_seeds(answered.recalled("intended", key), answered.cells) for key in KEYS}


def differences(after: Answered, before: Answered) -> dict[str, SeedFigure]:
    """After minus before on the same clips and seeds."""
    return {key: over_seeds(after.recalled("intended", key) - before.recalled("intended", key), after.cells) for key in KEYS}


def summary(seeds: Sequence[int]) -> dict:
    """Everything in results.json: each policy with the voice and in the control, and each variant beside the joint one."""
    found: dict = {"seeds": reported(FULL, seeds), "policies": {}, "differences": {}, "reports": {}}
    joint = read(FULL, found["seeds"])
    found["replies"], found["chance"] = len(joint["voice"].cells), 1 / len({r["intended"] for r in joint["voice"].records[0]})
    for variant in (FULL, *VARIANTS):
        there = reported(variant, found["seeds"])
        if not there:
            continue
        mine = read(variant, there)
        found["policies"] |= {f"{variant}, {given}": {"seeds_run": there} | figures(a) for given, a in mine.items()}
        rows = {f"{variant}, voice minus {CONTROL}": (mine["voice"], mine[CONTROL])}
        if variant != FULL:
            rows[f"{FULL} minus {variant}"] = (read(FULL, there)["voice"], mine["voice"])
        found["differences"] |= {name: {"seeds_run": there} | differences(*pair) for name, pair in rows.items()}
        reports = {seed: json.loads((run_dir(variant, seed) / "report" / "figures.json").read_text()) for seed in there}
        found["reports"][variant] = {str(seed): report["speak"] for seed, report in reports.items()}
    return found


def markdown(result: Mapping) -> str:
    def row(name: str, found: Mapping, star: bool) -> list[str]:
        marks = [" *" if star and leaves_out_zero(found[key]) else "" for key in KEYS]
        values = [percent(found[key]) + mark for key, mark in zip(KEYS, marks, strict=True)]
        by_seed = ", ".join(f"{100 * value:.1f}" for value in found["sounds"]["seeds"])
        return [name, ", ".join(map(str, found["seeds_run"])), *values, by_seed]

    titles = ["seeds", *KEYS.values(), "voice by seed"]
    text = (
        f"{result['replies']} held-out turns a seed. Voice: a listener that never saw the codec hears the emotion in which the "
        f"reply is intended, mean recall over those emotions (chance {100 * result['chance']:.0f} %). Words: the written reply "
        "answers the user's emotion. Intervals: 95 %, bootstrap over (speaker, sentence) cells of the seeds' means; they "
        "do not hold the randomness of training.\n\n"
    )
    text += markdown_table(["policy, given", *titles], [row(n, f, False) for n, f in result["policies"].items()])
    text += "\nDifferences, in points; * where the interval leaves 0 out:\n\n"
    text += markdown_table(["", *titles], [row(n, f, True) for n, f in result["differences"].items()])
    speed = [
        [f"{variant}, seed {seed}", f"{r['voice']['consistency']:.2f}", f"{r['voice']['spoken']:.3f}",
         f"{r['voice']['seconds']:.1f}", f"{r['voice']['real_time_factor']:.3f}", f"{r['peak_memory_mb']:.0f}"]
        for variant, seeds in result["reports"].items() for seed, r in seeds.items()
    ]
    text += "\n" + markdown_table(
        ["", "voice and words agree", "share spoken", "seconds a reply", "real-time factor", "peak memory, MB"], speed
    )
    return text + "\n" + time_table(result["seconds"])


def main() -> None:
    options = experiment_options(__doc__, VARIANTS)
    if not options.no_run:
        overlays = [f"experiments/ieat_speech/{variant}.yaml" for variant in options.only]
        side_by_side(CORPORA, ROOT)
        seeds_and_overlays(ROOT, PIPELINE, SPOKEN, options.seeds, overlays)
    result = summary(options.seeds)
    result["seconds"] = {str(seed): step_seconds(run_dir(FULL, seed)) for seed in result["seeds"]}
    write_results(HERE, result, markdown(result))


if __name__ == "__main__":
    main()
