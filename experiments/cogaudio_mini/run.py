"""The chain over three seeds, two at a time, its table and its claims: python experiments/cogaudio_mini/run.py

Writes seeds.json and seeds.md. Finished steps are not run again; `--no-run` only reads what is there.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cogrl.cli.pipeline.durations import step_seconds, time_table
from cogrl.cli.pipeline.experiment import experiment_options, write_results
from cogrl.cli.pipeline.side_by_side import seeds_and_overlays
from cogrl.evaluate.seed_tables import COLUMNS, Column, by_condition, stage_rows, titles
from cogrl.evaluate.seeds import Answered, SeedFigure, over_seeds, ratio_over_seeds, read_seeds
from cogrl.markdown import markdown_table
from cogrl.types import EMOTIONS

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
PIPELINE = "configs/pipelines/cogaudio_mini.yaml"
STAGES = ("align", "sft", "distill", "dr_sapo")
CHANCE = 1 / len(EMOTIONS)
HOLDS = {True: "holds", False: "**fails**", None: "-"}


def run_dir(seed: int) -> Path:
    return ROOT / f"runs/cogaudio_mini/seed{seed}"


def claim(text: str, figure: SeedFigure, needed: str, holds: Callable[[float], bool], end: str, **shown: int) -> dict:
    """Judged by the mean, and by that `end` of the interval (low, high) which is the harder one."""
    outcome = {"mean": bool(holds(figure["mean"])), "interval": bool(holds(figure[end]))}
    return {"claim": text, "figure": figure, "needed": needed, "digits": shown.get("digits")} | outcome


def at_chance(stage: str, answered: Answered) -> dict:
    """Words without a voice: holds where chance lies in the interval; None where no label is named at all."""
    read = answered.under("transcript")
    figure, given = read.figure("label"), read.labels_given
    inside = bool(figure["low"] - 1e-9 <= CHANCE <= figure["high"] + 1e-9)
    text = f"{stage}, text only: label eips, % (a label is named in {100 * given:.0f} %)"
    needed = f"{100 * CHANCE:.1f} % in the interval"
    interval = inside if given else None
    return {"claim": text, "figure": figure, "digits": None, "needed": needed, "mean": None, "interval": interval}


def claims(stages: Mapping[str, Answered]) -> list[dict]:
    """What the chain is said to do, each with its figure and whether it does."""
    before, after = stages["distill"], stages["dr_sapo"]

    def ratio(over: str, under: str) -> SeedFigure:
        return ratio_over_seeds(before.values(over), before.values(under), before.cells)

    def gain(name: str) -> SeedFigure:
        return over_seeds(after.values(name) - before.values(name), before.cells)

    keeps, third, rises, stays = (lambda x: x >= 0.9, lambda x: x <= 1 / 3, lambda x: x > 0, lambda x: x >= 0)
    return [
        *(at_chance(stage, stages[stage]) for stage in STAGES),
        claim("distill: reply direct by label eips, %", ratio("reply_direct", "label"), "at least 90 %", keeps, "low"),
        claim(
            "distill: reply direct by reply eips, %", ratio("reply_direct", "reply_eips"), "at least 90 %", keeps, "low"
        ),
        claim(
            "distill: tokens direct by tokens eips, %",
            ratio("tokens_direct", "tokens_eips"),
            "at most 33.3 %",
            third,
            "high",
        ),
        claim("dr_sapo minus distill: reward eips", gain("reward_eips"), "above 0", rises, "low", digits=3),
        claim("dr_sapo minus distill: reward direct", gain("reward_direct"), "above 0", rises, "low", digits=3),
        claim("dr_sapo minus distill: label eips, points", gain("label"), "not below 0", stays, "low"),
    ]


def summary(run_dirs: Mapping[int, Path]) -> dict:
    """Everything in seeds.json, from the reports in the run folders of the seeds."""
    reports = [folder / "report" for folder in run_dirs.values()]
    stages = read_seeds([report / "answers.jsonl" for report in reports])
    polar = read_seeds([report / "answers_conflict.jsonl" for report in reports])
    return {
        "seeds": list(run_dirs),
        "clips": {"all": len(stages[STAGES[0]].cells), "conflict": len(polar[STAGES[0]].part("conflict").cells)},
        "stages": {stage: by_condition(stages[stage], polar[stage]) for stage in STAGES},
        "claims": claims(stages),
        "seconds": {str(seed): step_seconds(folder) for seed, folder in run_dirs.items()},
    }


def claim_table(found: Sequence[dict]) -> str:
    rows = []
    for one in found:
        column, figure = Column(one["claim"], "", one["digits"]), one["figure"]
        outcome = [HOLDS[one[part]] for part in ("mean", "interval")]
        rows.append([one["claim"], column.shown(figure), column.each(figure), one["needed"], *outcome])
    return markdown_table(["claim", "figure", "seed by seed", "needed", "the mean", "the whole interval"], rows)


def seed_table(stages: Mapping[str, Mapping[str, Mapping[str, SeedFigure]]]) -> str:
    rows = [[c.title, *(c.each(found["voice"][name]) for found in stages.values())] for name, c in COLUMNS.items()]
    return markdown_table(["seed by seed", *stages], rows)


def markdown(result: dict) -> str:
    clips, stages = result["clips"], result["stages"]
    notes = (
        f"Means over {len(result['seeds'])} seeds; {clips['all']} test clips, and {clips['conflict']} others whose "
        "words contradict the voice. Intervals: 95 %, bootstrap over (speaker, sentence) cells of the seeds' means. "
        f"Label: the emotion that eips names; reply: the one that the reply fits best; chance is {100 * CHANCE:.1f} "
        "%. Stages are compared on the same clips; intervals say nothing about other speakers or sentences. Text only "
        "and silence sound the same for all seven emotions, so a label that is always named is at chance there by "
        "construction; shuffled audio is speech, with another clip's emotion.\n"
    )
    rows = [row for name in stages for row in stage_rows(name, stages[name])]
    table = markdown_table(["stage", "hears", *titles()], rows)
    return "\n".join([notes, table, claim_table(result["claims"]), seed_table(stages), time_table(result["seconds"])])


def main() -> None:
    options = experiment_options(__doc__)
    if not options.no_run:
        corpora = {"the corpus they share": ["build", "lime-mini", "--out", "data/lime-mini"]}
        seeds_and_overlays(ROOT, PIPELINE, corpora, options.seeds)
    result = summary({seed: run_dir(seed) for seed in options.seeds})
    write_results(HERE, result, markdown(result), "seeds")


if __name__ == "__main__":
    main()
