"""QA-mini: spoken and sound clips with questions whose answers are known by construction, made on this machine.

Five tasks in equal number: which emotion the voice has, which of two speakers has the lower voice, how many words are
said, which of two sounds comes first, which word is said first. Two options for `lower_voice` and `first_sound`, four
for the others. Source: words and sentences of this package, spoken by espeak-ng (tier `mini`) or a numpy voice (tier
`smoke`), and sounds made with numpy. Licence: generated audio, unencumbered. One line of a manifest:

    {"id": "3f…", "audio": "audio/3f/3f….flac", "split": "sft", "question": "Which emotion does the voice have?",
     "choices": ["sad", "anger", "happy", "neutral"], "answer": "anger", "task": "emotion",
     "targets": {"choice": "anger", "think_choice": "<think>…</think><answer>anger</answer>"}, …}

In every task and split each letter is right equally often, and so is each option whenever it is offered. So the best
answer without hearing is at chance for all five tasks: 1 in 4, or 1 in 2.

The words do not show the emotion: one speaker says one sentence with all four. Splits share no speaker, no sentence and
no list of words; the kinds of sound are the same everywhere. File names and ids are hashes.

It shows that the machinery learns. It is no evidence about human speech or real sounds.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cogrl import audio
from cogrl.data import manifest
from cogrl.data.recipes import balanced, question_folder, sounds
from cogrl.data.recipes.qa_mini import card, supply, targets, tasks
from cogrl.data.recipes.qa_mini import plan as plans
from cogrl.data.recipes.qa_mini.plan import FULL, SMOKE, SPLITS, Cell, Plan
from cogrl.data.recipes.question_folder import Contents, Summary, build_once, recipe_of
from cogrl.data.synthesis import acoustics
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
from cogrl.data.synthesis.expressive import Line
from cogrl.progress import progress
from cogrl.types import Example, Waveform

SAMPLING_RATE = 16000
MAX_S = 4.0
LEAST_SEPARATION_ST = 2.0
"""How far apart two voices are at least, in semitones, when the lower one is asked for."""
_CODE = (acoustics, balanced, question_folder, card, plans, sounds, supply, targets, tasks)
_TIERS = {"mini": ("espeak", FULL), "smoke": ("numpy", SMOKE)}


def build_qa_mini(
    out: Path, tier: str = "mini", seed: int = 0, workers: int | None = None, plan: Plan | None = None
) -> Summary:
    """Renders the corpus into `out`: `sft|rl|val|test.jsonl`, `audio/`, `CARD.md`, `build.json`.

    The result depends on tier, plan, seed and this package's code alone, not on `workers` (default: all cores). A
    folder that holds exactly this build is left as it is; any other build in `out` is replaced, in one rename at the
    end. Raises ValueError for an unknown tier or a plan beyond what there is, ImportError without espeak-ng,
    FileExistsError if `out` holds other files, OSError if it cannot be written.
    """
    if tier not in _TIERS:
        raise ValueError(f"unknown tier {tier!r}; available: {', '.join(_TIERS)}")
    voice, default = _TIERS[tier]
    plan = plan or default
    synthesiser = EmbeddedSynthesiser(voice)
    synthesiser.check("en")  # fails here, before any work, if the voice is not installed
    chosen = plans.cells(plan, seed)
    recipe = recipe_of((synthesiser.version, seed, chosen), [__file__, *(module.__file__ for module in _CODE)])

    def make(folder: Path) -> Contents:
        for prefix in {cell.id[:2] for cell in chosen}:
            (folder / "audio" / prefix).mkdir(parents=True)
        source = f"QA-mini {tier}, seed {seed}"
        render = functools.partial(_render, work=folder, synthesiser=synthesiser, source=source)
        with synthesiser.pool(workers) as pool:
            made = list(progress(pool.map(render, chosen, chunksize=16), "QA-mini", len(chosen), unit="clip"))
        made.sort(key=lambda example: example.id)
        splits = {name: [example for example in made if example.split == name] for name in plan}
        manifest.check_splits(splits)
        return Contents(splits, card.card(splits, tier, seed))

    return build_once(f"QA-mini (tier {tier}, seed {seed})", out, recipe, SPLITS, make)


def _render(cell: Cell, work: Path, synthesiser: EmbeddedSynthesiser, source: str) -> Example:
    rng, asked = np.random.default_rng(cell.seed), cell.question
    pieces = [_piece(piece, synthesiser, rng) for piece in asked.pieces]
    f0_hz = [acoustics.measure(p, SAMPLING_RATE).f0_hz for p in pieces] if asked.task == "lower_voice" else []
    _check_order(cell, f0_hz)
    clip = _joined(pieces, asked.gap_s, rng)
    if len(clip) > MAX_S * SAMPLING_RATE:
        raise ValueError(
            f"{cell.name}: lasts {len(clip) / SAMPLING_RATE:.2f} s, at most {MAX_S} s fit; shorten its words"
        )
    path = work / "audio" / cell.id[:2] / f"{cell.id}.flac"
    audio.write_flac(path, clip, SAMPLING_RATE)
    return Example(
        id=cell.id,
        audio=path,
        split=cell.split,
        text=asked.text,
        text_group=asked.text_group,
        speaker=asked.speaker,
        duration_s=len(clip) / SAMPLING_RATE,
        question=asked.question,
        choices=asked.choices,
        answer=asked.answer,
        task=asked.task,
        language="en",
        targets=targets.targets(asked, f0_hz),
        synthesis={**asked.facts, **({"f0_hz": [round(hertz, 1) for hertz in f0_hz]} if f0_hz else {})},
        source=source,
        licence=synthesiser.licence,
    )


def _piece(piece: Line | str, synthesiser: EmbeddedSynthesiser, rng: np.random.Generator) -> Waveform:
    if isinstance(piece, str):
        return sounds.sound(piece, rng, SAMPLING_RATE)
    return synthesiser.say(replace(piece, seed=int(rng.integers(2**32)))).waveform


def _joined(pieces: Sequence[Waveform], gap_s: float, rng: np.random.Generator) -> Waveform:
    """The pieces with silence of `gap_s`, up to half as much again, between them."""
    parts = [pieces[0]]
    for piece in pieces[1:]:
        gap = np.zeros(audio.to_samples(gap_s * rng.uniform(1, 1.5), SAMPLING_RATE), np.float32)
        parts += [gap, piece]
    return np.concatenate(parts).astype(np.float32)


def _check_order(cell: Cell, f0_hz: Sequence[float]) -> None:
    """Raises ValueError where the voice that should be the lower one does not measure so."""
    if not f0_hz:
        return
    lower, higher = f0_hz if cell.question.answer == tasks.PLACES[0] else f0_hz[::-1]
    apart = 12 * math.log2(higher / lower)
    if not apart >= LEAST_SEPARATION_ST:
        raise ValueError(
            f"{cell.name}: the voices measure {f0_hz} Hz; the lower one must be {LEAST_SEPARATION_ST} st lower"
        )
