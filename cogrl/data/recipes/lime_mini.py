"""LIME-mini: an embedded corpus in the shape of LIME-440K, rendered on this machine. (arXiv:2606.06940, section 2)

Source: sentences and targets of this package, spoken by espeak-ng voices (tier `mini`) or a numpy voice (tier `smoke`)
and coloured by the prosody of seven emotions at three intensities. Licence: generated audio, free of restrictions.

Every (speaker, sentence) pair is read with all seven emotions equally often and at the same intensities, so words,
speaker and intensity carry no information about the emotion: only the voice does. Splits share neither speakers nor
sentences; SFT and RL see different clips. File names and ids are hashes. One line of a manifest:

    {"id": "3f…", "audio": "audio/3f/3f….flac", "split": "sft", "text": "The meeting starts at ten.", "text_group": "t01",
     "speaker": "spk01", "emotion": "sad", "intensity": "mid", "scenario": "workplace", "valence": -0.6, …}

It shows that the machinery learns. It is no evidence about human speech.
"""

import functools
import hashlib
import json
import math
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cogrl.audio import write_flac
from cogrl.data.manifest import check_splits, write_manifest
from cogrl.data.recipes import lime_card, lime_lexicon, lime_sentences, lime_text
from cogrl.data.synthesis import acoustics, emotions, espeak, filters, source_filter, voices
from cogrl.data.synthesis.emotions import Prosody
from cogrl.data.synthesis.voices import Speaker
from cogrl.types import EMOTIONS, INTENSITIES, Emotion, Example, Intensity, Waveform

SAMPLING_RATE = 16000
MAX_S = 4.0
_CODE = (
    acoustics,
    emotions,
    espeak,
    filters,
    source_filter,
    voices,
    lime_card,
    lime_lexicon,
    lime_sentences,
    lime_text,
)
_WORDS_PER_MINUTE = 175
Voice = Callable[[str, Speaker, Prosody], tuple[Waveform, int]]


@dataclass(frozen=True)
class Split:
    """`speakers` x `texts` x 7 emotions x `takes`; the takes of a cell have different intensities."""

    name: str
    speakers: int
    texts: int
    takes: int


Plan = tuple[Split, ...]
PLANS: dict[str, Plan] = {
    "smoke": (Split("sft", 3, 4, 1), Split("rl", 2, 3, 1), Split("val", 1, 2, 1), Split("test", 2, 3, 1)),
    "mini": (Split("sft", 11, 16, 1), Split("rl", 7, 12, 2), Split("val", 2, 6, 1), Split("test", 4, 8, 3)),
}
_PLANNED = ("natural", "real")
_LICENCES = {
    "smoke": "generated with cogrl; audio output unencumbered",
    "mini": "generated with espeak-ng (GPL-3 program); audio output unencumbered",
}


@dataclass(frozen=True)
class Summary:
    """What a build left in `out`; `cached` when it was there already. `audio_s` is the total duration."""

    out: Path
    tier: str
    clips: dict[str, int]
    audio_s: float
    cached: bool
    seconds: float


@dataclass(frozen=True)
class Cell:
    """One clip to render. Everything random about it is drawn from a hash of these fields and the seed."""

    split: str
    speaker: Speaker
    scenario: str
    text: str
    text_group: str
    emotion: Emotion
    intensity: Intensity

    def digest(self, seed: int) -> str:
        """64 hex digits that identify the clip; the first 16 are its id and file name."""
        names = (seed, self.split, self.speaker.name, self.text_group, self.emotion, self.intensity)
        return hashlib.sha256("/".join(map(str, names)).encode()).hexdigest()


def sentences() -> list[tuple[str, str, str]]:
    """(text group, scenario, text), scenario by scenario in turn, so that any run of six covers all of them."""
    rows = zip(*lime_sentences.SENTENCES.values(), strict=True)
    pairs = [pair for row in rows for pair in zip(lime_sentences.SENTENCES, row, strict=True)]
    return [(f"t{number:02d}", *pair) for number, pair in enumerate(pairs, start=1)]


def cells(plan: Plan) -> list[Cell]:
    """All clips of a plan. Raises ValueError if it asks for more speakers, sentences or takes than there are."""
    people, texts, found = voices.speakers(), sentences(), []
    for split in plan:
        if split.speakers > len(people) or split.texts > len(texts) or split.takes > len(INTENSITIES):
            raise ValueError(f"{split} needs more than is left: {len(people)} speakers, {len(texts)} texts, 3 takes")
        readers, people = people[: split.speakers], people[split.speakers :]
        scripts, texts = texts[: split.texts], texts[split.texts :]
        found += [
            Cell(split.name, speaker, scenario, text, group, emotion, INTENSITIES[(i + j + take) % len(INTENSITIES)])
            for i, speaker in enumerate(readers)
            for j, (group, scenario, text) in enumerate(scripts)
            for take in range(split.takes)
            for emotion in EMOTIONS
        ]
    return found


def build_lime_mini(
    out: Path, tier: str = "mini", seed: int = 0, workers: int | None = None, plan: Plan | None = None
) -> Summary:
    """Renders the corpus into `out`: `sft|rl|val|test.jsonl`, `audio/`, `CARD.md`, `CARD.png`, `build.json`.

    The result depends on tier, plan, seed and this package's code alone, not on `workers` (default: all cores). A folder
    that holds exactly this build is left as it is; any other LIME-mini build in `out` is replaced. The work is done in a
    sibling folder that is renamed at the end, so `out` is never half a corpus.
    Raises ValueError for an unknown tier, NotImplementedError for one that is planned, ImportError without espeak,
    FileExistsError if `out` holds something else, OSError if it cannot be written.
    """
    out, start = Path(out).absolute(), time.monotonic()
    voice_of(tier)
    chosen = cells(plan or PLANS[tier])
    recipe = _recipe(tier, seed, chosen)
    if _holds(out, recipe):
        print(f"LIME-mini ({tier}, seed {seed}) is already in {out}: nothing to do")
        return _summary(out, tier, True, start)
    work = _workspace(out)
    try:
        render = functools.partial(_render, work=work, tier=tier, seed=seed)
        for folder in {cell.digest(seed)[:2] for cell in chosen}:
            (work / "audio" / folder).mkdir(parents=True, exist_ok=True)
        examples = _map(render, chosen, workers or os.cpu_count() or 1, f"LIME-mini {tier}")
        splits: dict[str, list[Example]] = {}
        for example in sorted(examples, key=lambda example: example.id):
            splits.setdefault(example.split, []).append(example)
        check_splits(splits)
        for name, rows in splits.items():
            write_manifest(work / f"{name}.jsonl", rows)
        lime_card.write_card(work, tier, seed, splits)
        build = {"recipe": recipe, "digest": _digest(work), "tier": tier, "seed": seed}
        (work / "build.json").write_text(json.dumps(build, indent=1) + "\n")
        _publish(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return _summary(out, tier, False, start)


def voice_of(tier: str) -> Voice:
    """The voice that reads for a tier: the one place where a tier is tied to an engine."""
    if tier == "smoke":
        return source_filter.speak
    if tier == "mini":
        return functools.partial(_speak, espeak.Espeak())
    if tier in _PLANNED:
        raise NotImplementedError(f"tier {tier!r} is not available yet; available: {', '.join(PLANS)}")
    raise ValueError(f"unknown tier {tier!r}; available: {', '.join(PLANS)}")


def _speak(engine: espeak.Espeak, text: str, speaker: Speaker, prosody: Prosody) -> tuple[Waveform, int]:
    factor = speaker.formant * prosody.formant
    return engine.speak(
        text,
        speaker.variant,
        pitch_st=speaker.pitch_st + prosody.pitch_st - 12 * math.log2(factor),
        span=prosody.span,
        words_per_minute=_WORDS_PER_MINUTE * speaker.rate * prosody.rate / factor,
        final_st=prosody.final_st,
    )


def _render(cell: Cell, work: Path, tier: str, seed: int) -> Example:
    digest = cell.digest(seed)
    rng = np.random.default_rng(int(digest, 16))
    prosody = emotions.reading(cell.emotion, cell.intensity, rng)
    valence, arousal, dominance = emotions.dimensions(cell.emotion, cell.intensity, rng)
    clip = voices.read(_voice_here(tier), cell.text, cell.speaker, prosody, rng, SAMPLING_RATE)
    if len(clip) > MAX_S * SAMPLING_RATE:
        raise ValueError(f"{cell} lasts {len(clip) / SAMPLING_RATE:.2f} s, more than {MAX_S} s; shorten the sentence")
    path = work / "audio" / digest[:2] / f"{digest[:16]}.flac"
    write_flac(path, clip, SAMPLING_RATE)
    measured = asdict(acoustics.measure(clip, SAMPLING_RATE))
    return Example(
        id=digest[:16],
        audio=path,
        split=cell.split,
        text=cell.text,
        text_group=cell.text_group,
        speaker=cell.speaker.name,
        emotion=cell.emotion,
        intensity=cell.intensity,
        scenario=cell.scenario,
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        duration_s=len(clip) / SAMPLING_RATE,
        targets=lime_text.targets(cell.emotion, cell.intensity, cell.scenario, cell.text, random.Random(digest)),
        synthesis={**asdict(prosody), "measured": {name: round(value, 3) for name, value in measured.items()}},
        source=f"LIME-mini {tier}, seed {seed}",
        licence=_LICENCES[tier],
    )


@functools.cache
def _voice_here(tier: str) -> Voice:
    """One engine for each worker process."""
    return voice_of(tier)


def _map(render: Callable[[Cell], Example], chosen: Sequence[Cell], workers: int, title: str) -> list[Example]:
    """`render` over all cells in `workers` fresh processes: espeak never enters the caller's process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            return list(tqdm(pool.map(render, chosen, chunksize=16), total=len(chosen), desc=title, unit="clip"))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _recipe(tier: str, seed: int, chosen: Sequence[Cell]) -> str:
    """Hash of all that decides the content: the cells, the seed, the code and the version of espeak-ng."""
    recipe = hashlib.sha256(repr((tier, seed, chosen)).encode())
    for file in (__file__, *(module.__file__ for module in _CODE)):
        recipe.update(Path(file).read_bytes())
    if tier == "mini":
        recipe.update(version("espeakng-loader").encode())
    return recipe.hexdigest()


def _digest(folder: Path) -> str:
    """Hash of every file but `build.json`, names included."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "build.json":
            digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _holds(out: Path, recipe: str) -> bool:
    """Whether `out` is a complete, undamaged build of `recipe`."""
    if not (out / "build.json").is_file():
        return False
    build = json.loads((out / "build.json").read_text())
    return build["recipe"] == recipe and build["digest"] == _digest(out)


def _workspace(out: Path) -> Path:
    """An empty folder beside `out`, on the same file system. Raises before any work if `out` cannot be replaced."""
    if out.exists() and not (out.is_dir() and ((out / "build.json").is_file() or not any(out.iterdir()))):
        raise FileExistsError(f"{out} exists and is no LIME-mini build; choose another --out or remove it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{out.name}.building-", dir=out.parent))
    except OSError as error:
        raise OSError(f"cannot write {out}: {error.strerror}; choose another --out") from error


def _publish(work: Path, out: Path) -> None:
    work.chmod(0o755)
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old-", dir=out.parent))
        os.replace(out, old)
        os.replace(work, out)
        shutil.rmtree(old)
    else:
        os.replace(work, out)


def _summary(out: Path, tier: str, cached: bool, start: float) -> Summary:
    durations = {
        path.stem: [json.loads(line)["duration_s"] for line in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted(out.glob("*.jsonl"))
    }
    return Summary(
        out=out,
        tier=tier,
        clips={name: len(seconds) for name, seconds in durations.items()},
        audio_s=sum(map(sum, durations.values())),
        cached=cached,
        seconds=time.monotonic() - start,
    )
