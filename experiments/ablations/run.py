"""The ablations of the mini chain, two at a time, and their table: python experiments/ablations/run.py

Needs the main runs (experiments/cogaudio_mini/run.py) of the same seeds: what an overlay leaves as it is comes from
there. Writes results.json and results.md from every report that is there. Finished steps are not run again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cogrl.cli.pipeline.experiment import experiment_options, write_results
from cogrl.cli.pipeline.side_by_side import side_by_side
from cogrl.evaluate.seed_tables import COLUMNS, figures, titles
from cogrl.evaluate.seeds import Answered, SeedFigure, over_seeds, read_seeds
from cogrl.markdown import markdown_table

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
PIPELINE = "configs/pipelines/cogaudio_mini.yaml"
FULL = "full chain"
LAST = "dr_sapo"
VARIANTS = tuple(sorted(file.stem for file in HERE.glob("*.yaml")))
FILES = ("answers.jsonl", "answers_conflict.jsonl")
COMPARED = ("label", "reply_eips", "reply_direct", "reward_eips", "reward_direct", "tokens_eips", "tokens_direct")


def report(runs: Path, variant: str, seed: int) -> Path:
    folder = "cogaudio_mini" if variant == FULL else f"ablations/{variant}"
    return runs / folder / f"seed{seed}" / "report"


def last_policy(runs: Path, variant: str, seeds: Sequence[int]) -> tuple[Answered, Answered]:
    """What it answered on the test clips, and on those with polar words."""
    folders = [report(runs, variant, seed) for seed in seeds]
    plain, polar = (read_seeds([folder / file for folder in folders])[LAST] for file in FILES)
    return plain, polar


def compared(runs: Path, variant: str, seeds: Sequence[int]) -> dict:
    """Figures of a variant, and what they differ by from the full chain's on the same clips of the same seeds."""
    plain, polar = last_policy(runs, variant, seeds)
    full, _ = last_policy(runs, FULL, seeds)
    gains = {name: over_seeds(plain.values(name) - full.values(name), full.cells) for name in COMPARED}
    return {"seeds": list(seeds), "figures": figures(plain, polar), "differences": gains}


def summary(runs: Path, seeds: Sequence[int]) -> dict[str, dict]:
    """By variant, the full chain first: what is in results.json. A variant counts with the seeds it has reports of."""
    found = {}
    for variant in (FULL, *VARIANTS):
        both = [s for s in seeds if all((report(runs, v, s) / FILES[-1]).exists() for v in (FULL, variant))]
        if both:
            found[variant] = compared(runs, variant, both)
    return found


def markdown(found: Mapping[str, Mapping]) -> str:
    rows, differences = [], []
    for variant, values in found.items():
        seeds = ", ".join(map(str, values["seeds"]))
        shown = [column.shown(values["figures"][name]) for name, column in COLUMNS.items()]
        rows.append([variant, seeds, *shown])
        if variant != FULL:
            differences.append([variant, seeds, *(gain(name, values["differences"][name]) for name in COMPARED)])
    missing = [variant for variant in VARIANTS if variant not in found]
    text = (
        "Last policy of each variant. 95 % intervals: bootstrap over (speaker, sentence) cells of the seeds' means.\n\n"
    )
    text += markdown_table(["variant", "seeds", *titles()], rows)
    text += "\nVariant minus full chain, on the same clips and seeds; * where the interval leaves 0 out:\n\n"
    text += markdown_table(["variant", "seeds", *titles(COMPARED)], differences)
    return text + (f"\nNot run: {', '.join(missing)}.\n" if missing else "")


def gain(name: str, figure: SeedFigure) -> str:
    return COLUMNS[name].shown(figure) + (" *" if figure["low"] > 0 or figure["high"] < 0 else "")


def run(variants: Sequence[str], seeds: Sequence[int]) -> None:
    absent = [seed for seed in seeds if not (report(ROOT / "runs", FULL, seed) / FILES[-1]).exists()]
    if absent:
        raise SystemExit(f"the main run of seed {absent[0]} is missing; first: python experiments/cogaudio_mini/run.py")
    commands = {
        f"{variant}, seed {seed}": ["run", PIPELINE, f"experiments/ablations/{variant}.yaml", "--set", f"seed={seed}"]
        for seed in seeds
        for variant in variants
    }
    side_by_side(commands, ROOT)


def main() -> None:
    options = experiment_options(__doc__, VARIANTS)
    if not options.no_run:
        run(options.only, options.seeds)
    found = summary(ROOT / "runs", options.seeds)
    write_results(HERE, found, markdown(found))


if __name__ == "__main__":
    main()
