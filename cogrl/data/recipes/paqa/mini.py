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
hearing, the best answer is at chance, 1 in 4 or (count, first) 1 in 3. sft, rl, val and test share no speaker; their
sixteen words are the same. It shows that the machinery learns. It is no evidence about human speech or real sounds.
"""

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from cogrl.data.recipes import balanced, mixing, question_folder
from cogrl.data.recipes.paqa import (
    assembly,
    card,
    clip,
    environments,
    item,
    mini_clip,
    mini_plan,
    mini_questions,
    plan,
    quotes,
    reflection,
    speakers,
    template,
    traces,
    vocabulary,
)
from cogrl.data.recipes.paqa.item import Cell
from cogrl.data.recipes.paqa.mini_plan import FULL, SMOKE, Plan
from cogrl.data.recipes.paqa.plan import MANIFESTS, SNR_DB
from cogrl.data.recipes.paqa.speakers import Utterance
from cogrl.data.recipes.paqa.traces import TemplateWriter
from cogrl.data.recipes.question_folder import Contents, Summary, build_once, recipe_of
from cogrl.data.synthesis import acoustics
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
from cogrl.formats import paqa
from cogrl.progress import progress
from cogrl.types import Waveform

_ABOUT = """One to three voices, called low, middle and high by their pitch, say two words each over an environment.
In every task and manifest each letter, and each option whenever it is offered, is right equally often: without hearing,
the best answer is at chance. Reflection triples come on top. sft, rl, val and test share no speaker; their sixteen
words are the same."""
_CODE = (acoustics, balanced, question_folder, paqa, assembly, card, clip, environments, item, mini_clip, mini_plan)
_CODE += (mini_questions, mixing, plan, quotes, reflection, speakers, template, traces, vocabulary)
_TIERS = {"mini": ("espeak", FULL), "smoke": ("numpy", SMOKE)}


def build_paqa_mini(
    out: Path,
    tier: str = "mini",
    seed: int = 0,
    workers: int | None = None,
    snr_db: tuple[float, float] = SNR_DB,
    reflection_share: float = 0.2,
    size: Plan | None = None,
) -> Summary:
    """Renders the corpus into `out`: `sft|rl|val|test|msqa_hard|envqa_hard.jsonl`, `audio/`, `CARD.md`, `build.json`.

    sft has `reflection_share` times as many further lines, see `reflection`. The result depends on the arguments and
    this package's code alone, not on `workers` (default: all cores). A folder that holds exactly this build is left as
    it is; any other build in `out` is replaced, in one rename at the end. Raises ValueError for an unknown tier, an SNR
    below 0 dB or a share outside [0, 1], ImportError without espeak-ng, FileExistsError if `out` holds other files,
    OSError if it cannot be written.
    """
    if tier not in _TIERS:
        raise ValueError(f"unknown tier {tier!r}; available: {', '.join(_TIERS)}")
    assembly.check_share(reflection_share)
    voice, full = _TIERS[tier]
    synthesiser = EmbeddedSynthesiser(voice)
    synthesiser.check("en")  # fails here, before any work, if the voice is not installed
    cells = mini_plan.cells(size or full, seed, snr_db)
    facts = (synthesiser.version, seed, reflection_share, cells)

    def make(folder: Path) -> Contents:
        for prefix in {cell.id[:2] for cell in cells}:
            (folder / "audio" / prefix).mkdir(parents=True)
        source = f"PAQA-mini {tier}, seed {seed}"
        render = functools.partial(mini_clip.render, folder=folder, source=source, licence=synthesiser.licence)
        with synthesiser.pool(workers) as pool:
            words = _words(cells, synthesiser, seed, pool)
            said = [[[words[one] for one in turn.source] for turn in cell.question.turns] for cell in cells]
            made = list(progress(pool.map(render, cells, said, chunksize=16), "PAQA-mini", len(cells), unit="clip"))
        rows, rejected, _ = assembly.assembled(made, TemplateWriter(), reflection_share, seed)
        return Contents(rows, card.card(f"PAQA-mini, tier {tier}, seed {seed}", _ABOUT, rows, rejected), rejected)

    recipe = recipe_of(facts, [__file__, *(module.__file__ for module in _CODE)])
    return build_once(f"PAQA-mini (tier {tier}, seed {seed})", out, recipe, MANIFESTS, make)


def _words(
    cells: Sequence[Cell], synthesiser: EmbeddedSynthesiser, seed: int, pool: Executor
) -> Mapping[Utterance, Waveform]:
    """Every word that any clip needs, said once."""
    needed = sorted({one for cell in cells for turn in cell.question.turns for one in turn.source})
    people = sorted({speaker for _, speaker, _, _ in needed})
    measured = pool.map(functools.partial(speakers.own_voice, synthesiser=synthesiser), people)
    own = dict(zip(people, measured, strict=True))
    say = functools.partial(speakers.said, own=own, synthesiser=synthesiser, seed=seed)
    said = progress(pool.map(say, needed, chunksize=16), "PAQA-mini", len(needed), unit="word")
    return dict(zip(needed, said, strict=True))
