"""EAQA of one's own recordings: speech of several speakers among sounds, in noise. (Echo, arXiv:2602.11909)

Clips, questions, splits and thoughts are those of EAQA-mini, the material is in folders (see `recordings`); what is
said has four options. Everything is resampled to 16 kHz mono, the silence around speech is cut off.
"""

import functools
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from cogrl.audio import file_stamp, to_samples
from cogrl.data.recipes import balanced, mixing, question_folder, recordings
from cogrl.data.recipes.eaqa import (
    assembly,
    card,
    clip,
    item,
    plan,
    recorded_supply,
    routing,
    scenes,
    tasks,
    thoughts,
    times,
)
from cogrl.data.recipes.eaqa.item import Item, Scene
from cogrl.data.recipes.eaqa.plan import Part
from cogrl.data.recipes.eaqa.recorded_supply import SOUND_S, RecordedSupply, SoundFile, longest_s
from cogrl.data.recipes.eaqa.thoughts import TemplateWriter, ThoughtWriter
from cogrl.data.recipes.question_folder import Contents, Summary, build_once, recipe_of
from cogrl.data.recipes.recordings import Recording
from cogrl.formats import echo, segments
from cogrl.types import Example, Waveform

_MIX: Mapping[str, float] = {"say": 0.4, "after": 0.4, "order": 0.2}
_PART = Part(0, 3, 2, (), 2, _MIX, ())
PLAN: plan.Plan = {
    "sft": replace(_PART, clips=225, formats=("choice", "echo")),
    "rl": replace(_PART, clips=75, speakers="rl"),
    "val": replace(_PART, clips=20, formats=("choice", "echo"), speakers="val"),
    "test": replace(_PART, clips=60, speakers="test"),
}
_ABOUT = """Recorded speech of three speakers and two sounds a clip, in noise. sft, rl, val and test share no speaker
and no text, and no recording of a sound where there are four of its label or more."""
_CODE = (assembly, balanced, card, clip, echo, item, mixing, plan, question_folder, recorded_supply, recordings)
_CODE += (routing, scenes, segments, tasks, thoughts, times)


def build_eaqa(
    speech: Path,
    sounds: Path,
    out: Path,
    seed: int = 0,
    workers: int | None = None,
    snr_db: tuple[float, float] = scenes.SNR_DB,
    clips: Mapping[str, int] = {},
    shares: Mapping[str, float] = {},
    max_s: float = 30.0,
    writer: ThoughtWriter | None = None,
) -> Summary:
    """Mixes the corpus into `out`, in the form of EAQA-mini, with the thoughts of `writer` (default: templates).

    No clip is longer than `max_s`, the encoder's window. What can not be used is named in `rejected.jsonl` with the
    reason. The result depends on the arguments, the files and this package's code alone. Raises FileNotFoundError for
    folders of another layout, ValueError for too few speakers or sounds and what `build_eaqa_mini` refuses,
    ConnectionError when thoughts did not come.
    """
    sizes = plan.sized(PLAN, clips, shares)
    writer, rejected, rng = writer or TemplateWriter(), dict[str, str](), random.Random(f"eaqa/{seed}/recordings")
    found = recordings.environments_of(Path(sounds), rejected)
    if len(found) < _PART.sounds:
        raise ValueError(f"{sounds}: a clip has {_PART.sounds} different sounds, only {', '.join(found)} are there")
    most_s = longest_s(max_s, _PART.voices, _PART.sounds)

    def too_long(lasts_s: float) -> str | None:
        fits = f"{_PART.voices} turns of at most {most_s:.2f} s and {_PART.sounds} sounds fit into --max-s {max_s:g}"
        return f"lasts {lasts_s:.2f} s, {fits}" if lasts_s > most_s else None

    spoken = recordings.speech_of(Path(speech), too_long, rejected)
    parts = recordings.by_part(spoken, _PART.voices, rng, rejected)
    files = {label: recordings.dealt_or_shared(list(paths), rng) for label, paths in found.items()}

    def supply(part: Part, rng: random.Random) -> RecordedSupply:
        name = part.speakers
        own = {
            label: [SoundFile(path, min(SOUND_S, found[label][path])) for path in dealt[name]]
            for label, dealt in files.items()
        }
        return RecordedSupply(name, parts[name], own, max_s, rng)

    drawn = scenes.scenes(sizes, seed, snr_db, supply)
    stamps = [(path, file_stamp(path)) for paths in found.values() for path in paths]

    def make(folder: Path) -> Contents:
        render = functools.partial(_render, folder=folder, source=f"EAQA of recordings, seed {seed}")
        rows, dropped, report = assembly.assembled(assembly.rendered(drawn, folder, render, workers), writer)
        text = card.card(f"EAQA, seed {seed}, thoughts {report}", _ABOUT, rows, rejected | dropped)
        return Contents(rows, text, rejected | dropped)

    facts = (seed, max_s, writer.version, drawn, stamps, sorted(rejected.items()))
    recipe = recipe_of(facts, [__file__, *(module.__file__ for module in _CODE)])
    return build_once(f"EAQA (seed {seed})", out, recipe, routing.MANIFESTS, make)


def _render(scene: Scene, folder: Path, source: str) -> list[Example]:
    turns = [item.source for item in scene.items if isinstance(item.source, Recording)]
    licence = ", ".join(sorted({turn.licence or "as the recordings" for turn in turns}))
    return clip.render(scene, folder, sounding, source=source, licence=licence)


def sounding(thing: Item, rng: np.random.Generator) -> Waveform:
    """The samples of a recording; of a sound its first 3 s."""
    samples = recordings.samples_of(thing.source.path, str(thing.source.path))
    return samples if thing.text else samples[: to_samples(SOUND_S, recordings.SAMPLING_RATE)]
