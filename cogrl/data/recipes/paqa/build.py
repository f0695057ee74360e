"""PAQA-mini: one to three voices in turns over an environment, with questions whose answers are known by construction.

The shape of PAQA at a size that the embedded model learns. (HyPeR, arXiv:2604.14806) Four tasks in equal number: what a
voice says, how many people take a turn, what is in the background, which voice speaks first. Source: words of this
package, spoken by espeak-ng (tier `mini`) or a numpy voice (tier `smoke`), and environments made with numpy. Licence:
generated audio, unencumbered. One line of a manifest:

    {"id": "3f…", "audio": "audio/3f/3f….flac", "split": "sft", "task": "say",
     "question": "What does the low voice say?", "choices": ["apple button", "kettle river", …],
     "answer": "kettle river", "speech": [{"speaker": "low", "start_s": 0.25, "end_s": 0.93, "text": "kettle river"}],
     "environment": "rain", "snr_db": 7.25, "targets": {"choice": "kettle river", "paqa": "<THINK>…</FINAL_ANSWER>"}, …}

In every task and manifest each letter is right equally often, and so is each option whenever it is offered: without
hearing, the best answer is at chance, 1 in 4 or (count, first) 1 in 3. sft, rl, val and test share no speaker and no
pair of words. It shows that the machinery learns. It is no evidence about human speech or real sounds.
"""

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from cogrl import audio
from cogrl.data import manifest
from cogrl.data.recipes import balanced, question_folder
from cogrl.data.recipes.paqa import card, clip, environments, mixing, questions, speakers, targets, vocabulary
from cogrl.data.recipes.paqa import plan as plans
from cogrl.data.recipes.paqa.plan import FULL, MANIFESTS, SMOKE, SNR_DB, SPLITS, Cell, Plan
from cogrl.data.recipes.paqa.speakers import Utterance
from cogrl.data.recipes.question_folder import Contents, Summary, build_once, recipe_of
from cogrl.data.synthesis import acoustics
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
from cogrl.formats import paqa
from cogrl.progress import progress
from cogrl.types import Example, Waveform

_CODE = (acoustics, balanced, question_folder, paqa, card, clip, environments, mixing, plans, questions, speakers)
_CODE += (targets, vocabulary)
_TIERS = {"mini": ("espeak", FULL), "smoke": ("numpy", SMOKE)}


def build_paqa_mini(
    out: Path,
    tier: str = "mini",
    seed: int = 0,
    workers: int | None = None,
    snr_db: tuple[float, float] = SNR_DB,
    plan: Plan | None = None,
) -> Summary:
    """Renders the corpus into `out`: `sft|rl|val|test|msqa_hard|envqa_hard.jsonl`, `audio/`, `CARD.md`, `build.json`.

    The result depends on tier, plan, seed, SNR and this package's code alone, not on `workers` (default: all cores). A
    folder that holds exactly this build is left as it is; any other build in `out` is replaced, in one rename at the
    end. Raises ValueError for an unknown tier or an SNR below 0 dB, ImportError without espeak-ng, FileExistsError if
    `out` holds other files, OSError if it cannot be written.
    """
    if tier not in _TIERS:
        raise ValueError(f"unknown tier {tier!r}; available: {', '.join(_TIERS)}")
    voice, default = _TIERS[tier]
    synthesiser = EmbeddedSynthesiser(voice)
    synthesiser.check("en")  # fails here, before any work, if the voice is not installed
    plan = plan or default
    chosen = plans.cells(plan, seed, snr_db)
    recipe = recipe_of((synthesiser.version, seed, chosen), [__file__, *(module.__file__ for module in _CODE)])

    def make(folder: Path) -> Contents:
        for prefix in {cell.id[:2] for cell in chosen}:
            (folder / "audio" / prefix).mkdir(parents=True)
        source = f"PAQA-mini {tier}, seed {seed}"
        render = functools.partial(_render, folder=folder, source=source, licence=synthesiser.licence)
        with synthesiser.pool(workers) as pool:
            words = _words(chosen, synthesiser, seed, pool)
            said = [[[words[one] for one in turn.utterances] for turn in cell.question.turns] for cell in chosen]
            rendered = pool.map(render, chosen, said, chunksize=16)
            made = sorted(progress(rendered, "PAQA-mini", len(chosen), unit="clip"), key=lambda example: example.id)
        rows = {name: [example for example in made if example.split == name] for name in plan.questions}
        manifest.check_splits({name: rows[name] for name in SPLITS if name in rows})
        return rows, card.card(rows, tier, seed)

    return build_once(f"PAQA-mini (tier {tier}, seed {seed})", out, recipe, MANIFESTS, make)


def _words(
    chosen: Sequence[Cell], synthesiser: EmbeddedSynthesiser, seed: int, pool: Executor
) -> Mapping[Utterance, Waveform]:
    """Every word that any clip needs, said once."""
    needed = sorted({one for cell in chosen for turn in cell.question.turns for one in turn.utterances})
    people = sorted({speaker for _, speaker, _, _ in needed})
    own = dict(
        zip(people, pool.map(functools.partial(speakers.own_voice, synthesiser=synthesiser), people), strict=True)
    )
    say = functools.partial(speakers.said, own=own, synthesiser=synthesiser, seed=seed)
    said = progress(pool.map(say, needed, chunksize=16), "PAQA-mini", len(needed), unit="word")
    return dict(zip(needed, said, strict=True))


def _render(cell: Cell, words: Sequence[Sequence[Waveform]], folder: Path, source: str, licence: str) -> Example:
    asked = cell.question
    waveform, turns, f0_hz = clip.clip_of(cell, words)
    path = folder / "audio" / cell.id[:2] / f"{cell.id}.flac"
    audio.write_flac(path, waveform, clip.SAMPLING_RATE)
    voices = {turn.voice: turn.utterances[0][1] for turn in asked.turns}
    return Example(
        id=cell.id,
        audio=path,
        split=cell.split,
        text=" ".join(turn.text for turn in turns),
        text_group="; ".join(sorted(turn.text for turn in turns)),
        speaker="+".join(sorted(voices.values())),
        duration_s=len(waveform) / clip.SAMPLING_RATE,
        speech=turns,
        environment=asked.environment,
        snr_db=cell.snr_db,
        question=asked.question,
        choices=asked.choices,
        answer=asked.answer,
        task=asked.task,
        language="en",
        targets=targets.targets(asked),
        synthesis={"voices": voices, "f0_hz": dict(zip(voices, f0_hz, strict=True))},
        source=source,
        licence=licence,
    )
