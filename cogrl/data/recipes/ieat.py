"""IEAT: dialogues whose answers think of the emotion and its cause before they speak. (arXiv:2601.04960, section 2.2)

Two ways in. `build_ieat` renders IEAT-mini, three-turn dialogues of LIME-mini's sentences and voices; `think_manifest`
writes thoughts into the dialogues of a manifest, such as HumDial's. In both the annotator sees words and gold emotions,
the student gets the audio alone: no text it reads may name an emotion, and the cause has to quote an earlier turn. What
fails is left out and listed with its reason in `rejected.jsonl`. Target `ieat` is thinking and reply, target `direct`
the reply, which is all that a voice may say. The paper gives neither template nor generator nor size; these are
cogrl's.

IEAT-mini: licence as LIME-mini (generated audio, unencumbered). Splits share no speaker and no script; its test
speakers are LIME-mini's, its sentences may have been heard in LIME-mini's training. One line of a manifest:

    {"id": "3f…", "audio": "audio/3f/3f….flac", "split": "train", "text": "They moved the meeting to Friday.", …,
     "turns": [{"text": "The meeting starts at ten.", "audio": …, "emotion": "fear", "reply": "I see. Please go on."},
               …],
     "cause": …, "synthesis": {"cause_turn": 0}, "targets": {"ieat": "<think>…", "direct": "I hear that you are …"}}
"""

import functools
import hashlib
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cogrl import audio
from cogrl.data import build_folder, line, manifest, markup
from cogrl.data.recipes import (
    ieat_checks,
    ieat_dialogue,
    ieat_plan,
    ieat_template,
    lime_lexicon,
    lime_plan,
    lime_replies,
    lime_sentences,
)
from cogrl.data.recipes.ieat_dialogue import Thinker, dialogue_of
from cogrl.data.recipes.ieat_plan import Plan, Talk, talks
from cogrl.data.recipes.lime_mini import MAX_S, SAMPLING_RATE, TIERS, tier_named
from cogrl.data.recipes.lime_plan import Cell
from cogrl.data.synthesis import emotions, espeak, filters, source_filter, voices
from cogrl.formats import ieat as ieat_format
from cogrl.formats import schema
from cogrl.formats.ieat import IEAT
from cogrl.progress import progress
from cogrl.types import Example, Turn

_SPLITS = ("train", "val", "test")
_REJECTED = "rejected.jsonl"
_NAMES = ("audio", *(f"{split}.jsonl" for split in _SPLITS), _REJECTED)
_CODE = (audio, line, manifest, markup, emotions, espeak, filters, source_filter, voices)
_CODE += (lime_lexicon, lime_plan, lime_replies, lime_sentences, ieat_checks, ieat_dialogue, ieat_plan, ieat_template)
_CODE += (ieat_format, schema)


@dataclass(frozen=True)
class Summary:
    """What a build left; `rejected` counts the reasons, `cached` says that it was there already."""

    out: Path
    dialogues: dict[str, int]
    rejected: Counter[str] = field(default_factory=Counter)
    report: str = ""
    cached: bool = False


def build_ieat(
    out: Path,
    tier: str = "mini",
    seed: int = 0,
    workers: int | None = None,
    plan: Plan | None = None,
    thinker: Thinker | None = None,
) -> Summary:
    """Renders IEAT-mini into `out`: `train|val|test.jsonl`, `audio/`, `rejected.jsonl`.

    Depends on tier, plan, seed, the thinker's version and this package's code alone. A folder that holds exactly this
    build is left as it is; a build that was stopped is gone on with: clips that are there are not rendered again.
    Raises what `build_lime_mini` raises, and what `think` raises here.
    """
    out, kind, thinker = Path(out).absolute(), tier_named(tier), thinker or ieat_template.TemplateThinker()
    kind.engine()  # fails here, before any work, if the engine is not installed
    chosen = talks(plan or (ieat_plan.SMOKE if tier == "smoke" else ieat_plan.MINI))
    recipe = _recipe(tier, seed, chosen, thinker)
    if build_folder.holds(out, recipe, _NAMES):
        print(f"IEAT-mini (tier {tier}, seed {seed}) is already in {out}: nothing to do")
        return Summary(out, {name: len(manifest.read_manifest(out / f"{name}.jsonl")) for name in _SPLITS}, cached=True)
    with build_folder.replacing(out, recipe, _NAMES, resume=True) as work:
        durations = _render(work, chosen, tier, seed, workers or os.cpu_count() or 1)
        drafts = [_example(work, talk, durations, tier, seed) for talk in chosen]
        kept, rejected, report = think(sorted(drafts, key=lambda example: example.id), thinker)
        splits = {name: [example for example in kept if example.split == name] for name in _SPLITS}
        manifest.check_splits(splits)
        for name, rows in splits.items():
            manifest.write_manifest(work / f"{name}.jsonl", rows)
        _list(work / _REJECTED, rejected)
    return Summary(out, {name: len(rows) for name, rows in splits.items()}, _reasons(rejected), report)


def think_manifest(source: Path, out: Path, thinker: Thinker) -> Summary:
    """Writes the dialogues of `source` to `out` with thoughts as targets; audio and all other fields stay.

    Lines without earlier turns or label, and items that fail a check, are listed in `<out>.rejected.jsonl`. Raises
    ConnectionError, and writes nothing, when answers did not come, and ValueError when nothing is left.
    """
    kept, rejected, report = think(manifest.read_manifest(source), thinker)
    if not kept:
        first, reason = next(iter(rejected.items()))
        raise ValueError(f"{source}: every line was rejected, such as {first}: {reason}")
    out.parent.mkdir(parents=True, exist_ok=True)
    _list(out.with_name(f"{out.name}.{_REJECTED}"), rejected)
    manifest.write_manifest(out, kept)
    return Summary(out, {out.stem: len(kept)}, _reasons(rejected), report)


def think(examples: Sequence[Example], thinker: Thinker) -> tuple[list[Example], dict[str, str], str]:
    """(examples with targets, reasons of the others by id, what it took); every thought passes `validate_thought`.

    Raises ConnectionError when answers did not come: a corpus must not shrink because a server was down.
    """
    dialogues, rejected = {}, {}
    for example in examples:
        try:
            dialogues[example.id] = dialogue_of(example)
        except ValueError as error:
            rejected[example.id] = str(error)
    made = thinker.think(list(dialogues.values()))
    if made.unanswered:
        first, reason = next(iter(made.unanswered.items()))
        raise ConnectionError(
            f"{len(made.unanswered)} of {len(dialogues)} dialogues got no answer ({first}: {reason}); run the same "
            f"command again, only these will be asked ({made.report})"
        )
    rejected |= made.rejected
    kept = []
    for example in examples:
        thought = made.thoughts.get(example.id)
        reason = None if thought is None else ieat_checks.validate_thought(dialogues[example.id], thought)
        if reason is not None:
            rejected[example.id] = reason
        elif thought is not None:
            targets = {
                "ieat": IEAT.render({"thinking": thought.thinking, "reply": thought.reply}),
                "direct": thought.reply,
            }
            kept.append(replace(example, targets=targets, cause=thought.cause))
    return kept, rejected, made.report


def _example(work: Path, talk: Talk, durations: dict[str, float], tier: str, seed: int) -> Example:
    *earlier, last = talk.clips
    digest = last.digest(seed)
    rng = np.random.default_rng(int(digest, 16))
    emotions.reading(last.emotion, last.intensity, rng)  # the clip's own draws come first
    valence, arousal, dominance = emotions.dimensions(last.emotion, last.intensity, rng)
    turns = tuple(
        Turn(clip.text, _path(work, clip.digest(seed)), clip.emotion, reply, durations[clip.digest(seed)])
        for clip, reply in zip(earlier, talk.replies, strict=True)
    )
    return Example(
        id=talk.digest(seed),
        audio=_path(work, digest),
        split=talk.split,
        text=last.text,
        text_group=talk.script,
        speaker=last.speaker.name,
        emotion=last.emotion,
        intensity=last.intensity,
        scenario=last.scenario,
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        duration_s=durations[digest],
        turns=turns,
        language="en",
        synthesis={"cause_turn": talk.cause},
        source=f"IEAT-mini {tier}, seed {seed}",
        licence=TIERS[tier].licence,
    )


def _render(work: Path, chosen: Sequence[Talk], tier: str, seed: int, workers: int) -> dict[str, float]:
    """Durations by digest; clips that an earlier attempt left are kept, in fresh processes as LIME-mini's are."""
    clips = {clip.digest(seed): clip for talk in chosen for clip in talk.clips}
    missing = [clip for digest, clip in clips.items() if not _path(work, digest).is_file()]
    if missing and len(missing) < len(clips):
        print(f"IEAT-mini: going on, {len(clips) - len(missing)} of {len(clips)} clips are there")
    for digest in clips:
        _path(work, digest).parent.mkdir(parents=True, exist_ok=True)
    render = functools.partial(_clip, work=work, tier=tier, seed=seed)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            list(progress(pool.map(render, missing, chunksize=16), "IEAT-mini", len(missing), unit="clip"))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {digest: audio.audio_info(_path(work, digest)).duration_s for digest in clips}


def _clip(cell: Cell, work: Path, tier: str, seed: int) -> None:
    """The clip LIME-mini would render for this cell, byte for byte."""
    digest = cell.digest(seed)
    rng = np.random.default_rng(int(digest, 16))
    prosody = emotions.reading(cell.emotion, cell.intensity, rng)
    emotions.dimensions(cell.emotion, cell.intensity, rng)
    waveform = voices.read(TIERS[tier].engine(), cell.text, cell.speaker, prosody, rng, SAMPLING_RATE)
    if len(waveform) > audio.to_samples(MAX_S, SAMPLING_RATE):
        raise ValueError(f"{cell} rendered to {len(waveform)} samples, more than {MAX_S} s; change the sentence")
    audio.write_flac(_path(work, digest), waveform, SAMPLING_RATE)


def _path(work: Path, digest: str) -> Path:
    return work / "audio" / digest[:2] / f"{digest[:16]}.flac"


def _list(path: Path, rejected: dict[str, str]) -> None:
    lines = (json.dumps({"id": name, "reason": reason}, ensure_ascii=False) for name, reason in rejected.items())
    path.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")


def _reasons(rejected: dict[str, str]) -> Counter[str]:
    """Reasons without what is quoted in them."""
    return Counter(reason.split(":")[0].split(" '")[0] for reason in rejected.values())


def _recipe(tier: str, seed: int, chosen: Sequence[Talk], thinker: Thinker) -> str:
    recipe = hashlib.sha256(repr((tier, seed, TIERS[tier].version(), thinker.version, chosen)).encode())
    for file in (__file__, *(str(module.__file__) for module in _CODE)):
        recipe.update(Path(file).read_bytes())
    return recipe.hexdigest()
