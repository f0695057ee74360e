"""PAQA of one's own recordings: speech of several speakers in turns over environments. (HyPeR, arXiv:2604.14806)

Questions, levels, splits and traces are those of PAQA-mini, the material is in folders (see `recordings`); speakers are
called Speaker 1, 2, 3 in the order of entering. Everything is resampled to 16 kHz mono, the silence around speech is
cut off, each turn gets the same RMS.
"""

import functools
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cogrl.audio import file_stamp
from cogrl.data.recipes import balanced, mixing, question_folder, recordings
from cogrl.data.recipes.paqa import (
    assembly,
    card,
    clip,
    item,
    mini_plan,
    mini_questions,
    plan,
    quotes,
    recorded_questions,
    reflection,
    template,
    traces,
)
from cogrl.data.recipes.paqa.item import Cell
from cogrl.data.recipes.paqa.plan import MANIFESTS, SNR_DB
from cogrl.data.recipes.paqa.recorded_questions import RecordedSupply
from cogrl.data.recipes.paqa.traces import TemplateWriter, TraceWriter
from cogrl.data.recipes.question_folder import Contents, Summary, build_once, recipe_of
from cogrl.formats import paqa
from cogrl.progress import progress
from cogrl.types import Example

MOST_TURNS = 3
_ABOUT = """Recorded speech of one to three speakers in turns over recorded environments. In every task and manifest
each letter is right equally often, and each option whenever it is offered. Reflection triples come on top. sft, rl, val
and test share no speaker and no text, and no recording of an environment where there are four of its label or more."""
_CODE = (balanced, question_folder, paqa, assembly, card, clip, item, mini_plan, mini_questions, mixing, plan, quotes)
_CODE += (recorded_questions, recordings, reflection, template, traces)


def build_paqa(
    speech: Path,
    environments: Path,
    out: Path,
    questions: int = 450,
    seed: int = 0,
    workers: int | None = None,
    snr_db: tuple[float, float] = SNR_DB,
    reflection_share: float = 0.2,
    max_s: float = 30.0,
    writer: TraceWriter | None = None,
) -> Summary:
    """Mixes the corpus into `out`, in the form of PAQA-mini, with about `questions` of each task in sft.

    No clip is longer than `max_s`, the encoder's window. What can not be used is named in `rejected.jsonl` with the
    reason. The result depends on the arguments, the files and this package's code alone. Raises FileNotFoundError for
    folders of another layout, ValueError for too few speakers or recordings and what `build_paqa_mini` refuses,
    ConnectionError when traces did not come.
    """
    assembly.check_share(reflection_share)
    plan.check_snr(snr_db)
    writer, rejected, rng = writer or TemplateWriter(), {}, random.Random(f"paqa/{seed}/recordings")
    found = recordings.environments_of(Path(environments), rejected)
    most_s = max_s / MOST_TURNS - clip.longest_s([0.0] * MOST_TURNS) / MOST_TURNS

    def too_long(lasts_s: float) -> str | None:
        fits = f"{MOST_TURNS} turns of at most {most_s:.2f} s fit into --max-s {max_s:g}"
        return f"lasts {lasts_s:.2f} s, {fits}" if lasts_s > most_s else None

    parts = recordings.by_part(recordings.speech_of(Path(speech), too_long, rejected), MOST_TURNS, rng, rejected)
    files = {label: recordings.dealt_or_shared(list(paths), rng) for label, paths in found.items()}

    def supply(part: str, least_voices: int, rng: random.Random) -> RecordedSupply:
        own = {label: dealt[part] for label, dealt in files.items()}
        return RecordedSupply(part, parts[part], own, least_voices, rng)

    sizes = {name: max(1, round(count * questions / 450)) for name, count in mini_plan.FULL.questions.items()}
    cells = plan.cells(sizes, seed, snr_db, supply)
    stamps = [(path, file_stamp(path)) for paths in found.values() for path in paths]
    facts = (seed, reflection_share, max_s, writer.version, cells, stamps, sorted(rejected.items()))

    def make(folder: Path) -> Contents:
        for prefix in {cell.id[:2] for cell in cells}:
            (folder / "audio" / prefix).mkdir(parents=True)
        render = functools.partial(_render, folder=folder, source=f"PAQA of recordings, seed {seed}")
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            made = list(progress(pool.map(render, cells), "PAQA", len(cells), unit="clip"))
        rows, dropped, report = assembly.assembled(made, writer, reflection_share, seed)
        text = card.card(f"PAQA, seed {seed}, traces {report}", _ABOUT, rows, rejected | dropped)
        return Contents(rows, text, rejected | dropped)

    recipe = recipe_of(facts, [__file__, *(module.__file__ for module in _CODE)])
    return build_once(f"PAQA (seed {seed})", out, recipe, MANIFESTS, make)


def _render(cell: Cell, folder: Path, source: str) -> Example:
    turns: Sequence[recordings.Recording] = [turn.source for turn in cell.question.turns]
    around = cell.question.environment_source
    parts, rng = [recordings.samples_of(turn.path) for turn in turns], np.random.default_rng(cell.seed)
    try:
        take = clip.clip_of(cell, parts, lambda rng: recordings.samples_of(around), rng)
    except ValueError as error:
        raise ValueError(f"{around}: {error}; cut the recording to what is heard, or take it out") from error
    return clip.written(
        cell,
        folder,
        take,
        speaker="+".join(sorted(turn.speaker for turn in turns)),
        language="en",
        synthesis={
            "speakers": {said.speaker: turn.speaker for said, turn in zip(take.turns, turns, strict=True)},
            "environment_file": around.name,
        },
        source=source,
        licence=", ".join(sorted({turn.licence or "as the recordings" for turn in turns})),
    )
