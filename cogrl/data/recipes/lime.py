"""LIME: one emotionally ambiguous text, spoken with many emotions, and what a good listener would answer to each.

The data recipe of CogAudio-LLM (arXiv:2606.06940, section 2; LIME-440K is its published result):

    scenarios -> sentences -> emotions x intensities x speakers -> thoughts and replies -> speech -> gates -> splits

Twenty scenarios, a writer (grammar, list or language model), an annotator (templates or language model), a synthesiser
(embedded, any command, any HTTP service), an optional transcriber: `Recipe` names them. Licence: that of the parts,
listed in the card. Kept are whole readings (text and speaker, 21 clips); all that is left out is in `rejected.jsonl`
with its reason. Splits share neither speakers nor texts. One line of a manifest:

    {"id": "3f…", "audio": "audio/3f/3f….flac", "split": "sft", "text": "I never imagined the exam would end
     like this.", "text_group": "9a…", "speaker": "spk01", "emotion": "sad", "intensity": "mid", …}
"""

import glob
import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cogrl.data import build_folder, manifest
from cogrl.data.recipes import lime_clips, lime_outcome
from cogrl.data.recipes.annotate import Annotations, Annotator, TemplateAnnotator, Utterance
from cogrl.data.recipes.lime_clips import SPLITS, Clip, Split
from cogrl.data.recipes.lime_corpus_card import Row, write_card
from cogrl.data.recipes.lime_gates import Gates
from cogrl.data.recipes.lime_grammar import GrammarWriter
from cogrl.data.recipes.lime_scenarios import SCENARIOS
from cogrl.data.recipes.lime_takes import TakeRenderer, TakeResult
from cogrl.data.recipes.lime_writer import Polarity, Selection, SentenceRules, Writer
from cogrl.data.synthesis.command import Transcriber
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
from cogrl.data.synthesis.expressive import Synthesiser
from cogrl.progress import progress

_NAMES = ("audio", *(f"{split}.jsonl" for split in SPLITS), "rejected.jsonl", "CARD.md")
_PORTION = 4096  # clips handed to the workers at a time
_VERSION = 1  # of what this recipe makes of the same parts; a change makes every corpus be built again


@dataclass(frozen=True)
class Recipe:
    """What a corpus is made of.

    Args:
        splits: texts, speakers and readers of `sft`, `rl`, `val`, `test`; the synthesiser's speakers are dealt out in
            their order.
        language: of sentences and speech, as `en` or `zh`.
        scenarios: which of the twenty.
        fewest_words, most_words: of a sentence.
        give_up_after: so many clips in a row without one that passes stop the build: something is broken.
        thoughts_licence: terms of what the annotator writes, for the card.
        seed: draws sentences, names and voices' chance.
    """

    splits: dict[str, Split] = field(default_factory=lambda: dict(lime_clips.FULL))
    writer: Writer = field(default_factory=GrammarWriter)
    annotator: Annotator = field(default_factory=TemplateAnnotator)
    synthesiser: Synthesiser = field(default_factory=EmbeddedSynthesiser)
    transcriber: Transcriber | None = None
    gates: Gates = field(default_factory=Gates)
    language: str = "en"
    scenarios: tuple[str, ...] = tuple(SCENARIOS)
    fewest_words: int = 4
    most_words: int = 18
    give_up_after: int = 50
    thoughts_licence: str = ""
    seed: int = 0

    def check(self) -> None:
        """Raises, before any work, what would keep it from being built."""
        unknown = [name for name in self.scenarios if name not in SCENARIOS]
        if unknown or not self.scenarios or len(set(self.scenarios)) < len(self.scenarios):
            raise ValueError(f"scenarios {list(self.scenarios)}: one or more, each once, of {', '.join(SCENARIOS)}")
        if self.language != "en" and isinstance(self.annotator, TemplateAnnotator):
            raise ValueError(
                f"the templates are English, the corpus is to be {self.language!r}; name another annotator, such as "
                "cogrl.data.recipes.annotate_chat.ChatAnnotator"
            )
        lime_clips.check_plan(self.splits, self.synthesiser.speakers)
        self.synthesiser.check(self.language)
        if self.transcriber is not None:
            self.transcriber.check()

    def digest(self, with_polarity: bool) -> str:
        """Hash of all that decides what is built; how many work on it, where they are asked and how often is not."""
        plan = {name: asdict(split) for name, split in self.splits.items()}
        parts = [self.writer.version, self.annotator.version, self.synthesiser.version]
        parts += [self.transcriber.version if self.transcriber else "", *self.synthesiser.speakers]
        parts += [self.writer.licence, self.thoughts_licence, self.synthesiser.licence]
        rules = [self.language, self.scenarios, self.fewest_words, self.most_words, with_polarity, asdict(self.gates)]
        text = json.dumps([_VERSION, self.seed, plan, parts, rules, [asdict(SCENARIOS[n]) for n in self.scenarios]])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Summary:
    """What a build left in `out`; `rejected` counts (what, reason), `cached` says that it was there already."""

    out: Path
    clips: dict[str, int]
    audio_s: float
    rejected: Counter[tuple[str, str]]
    cached: bool
    seconds: float


def build_lime(
    out: Path,
    recipe: Recipe | None = None,
    polarity: Polarity | None = None,
    workers: int | None = None,
    keep_takes: bool = False,
) -> Summary:
    """Builds the corpus into `out`: `sft|rl|val|test.jsonl`, `audio/`, `rejected.jsonl`, `CARD.md`.

    Depends on the recipe alone, not on `workers`; a folder that holds exactly this build is left as it is. Clips are
    made beside it, in `.<out>.takes`: a build that was stopped goes on, and one with other gates or annotations starts
    from the clips there are; the folder is removed when the corpus is complete, unless `keep_takes`. `polarity` judges
    the words of English sentences.

    Raises ValueError for a recipe that can not be built, ImportError and FileNotFoundError for what is not installed,
    ConnectionError when answers or clips did not come (run again), FileExistsError if `out` holds other files.
    """
    out, recipe, start = Path(out).absolute(), recipe or Recipe(), time.monotonic()
    recipe.check()
    polarity = polarity if recipe.language == "en" else None
    digest = recipe.digest(polarity is not None)
    if build_folder.holds(out, digest, _NAMES):
        print(f"this LIME corpus is already in {out}: nothing to do")
        return _summary(out, recipe, Counter(), True, start)
    takes = out.with_name(f".{out.name}.takes")
    with build_folder.replacing(out, digest, _NAMES, resume=True) as work:
        takes.mkdir(exist_ok=True)
        renderer = TakeRenderer(
            takes, recipe.synthesiser, recipe.gates, recipe.language, recipe.seed, recipe.transcriber
        )
        rules = SentenceRules(recipe.language, recipe.fewest_words, recipe.most_words, polarity)
        selection = Selection(lime_clips.wanted(recipe.splits, recipe.scenarios), rules)
        written = recipe.writer.write(selection, recipe.seed)
        speakers = recipe.synthesiser.speakers
        clips = lime_clips.clips(recipe.splits, recipe.scenarios, selection.kept, speakers, recipe.seed)
        annotated = annotate(clips, recipe.annotator)
        spoiled = {clip.reading for clip in clips if clip.id in annotated.rejected}
        made = make([clip for clip in clips if clip.reading not in spoiled], renderer, workers, recipe.give_up_after)
        result = lime_outcome.outcome(selection.rejected, annotated.rejected, clips, made)
        shared = {"language": recipe.language, "text_sentiment": "neutral" if polarity else None}
        shared |= {"source": f"LIME, {recipe.synthesiser.origin}, seed {recipe.seed}"}
        shared |= {"licence": recipe.synthesiser.licence}
        splits = lime_outcome.write_corpus(work, recipe.splits, result, annotated.targets, shared)
        sources = _sources(recipe, written, annotated.report, len(made))
        write_card(work / "CARD.md", splits, result, clips, sources, _notes(recipe, polarity))
    if not keep_takes:
        shutil.rmtree(takes)
    for unfinished in out.parent.glob(f".{glob.escape(out.name)}.unfinished-*"):  # of other recipes
        shutil.rmtree(unfinished, ignore_errors=True)
    return _summary(out, recipe, Counter((e["kind"], e["reason"]) for e in result.rejected), False, start)


def annotate(clips: Sequence[Clip], annotator: Annotator) -> Annotations:
    """Targets of every clip. Raises ConnectionError when answers did not come: a corpus must not shrink for that."""
    made = annotator.annotate([Utterance(c.id, c.text, c.emotion, c.intensity, c.scenario) for c in clips])
    if made.unanswered:
        first, reason = next(iter(made.unanswered.items()))
        raise ConnectionError(
            f"{len(made.unanswered)} of {len(clips)} clips got no thought ({first}: {reason}); run the same command "
            f"again, only these will be asked for ({made.report})"
        )
    return made


def make(clips: Sequence[Clip], renderer: TakeRenderer, workers: int | None, give_up_after: int) -> list[TakeResult]:
    """What became of each clip, in order.

    Raises ConnectionError when the synthesiser was away for some, and ValueError after `give_up_after` clips in a row
    without one that passed; what was made stays for the next build.
    """
    notes, made, empty = renderer.notes(), [], 0
    if notes:
        print(f"LIME: going on, {len(notes)} takes are there")
    pool = renderer.synthesiser.pool(workers)
    try:
        with progress(total=len(clips), desc="LIME", unit="clip") as bar:
            for first in range(0, len(clips), _PORTION):
                part = [(clip, renderer.known(clip, notes)) for clip in clips[first : first + _PORTION]]
                for one in pool.map(renderer.make, part, chunksize=8):
                    bar.update()
                    made.append(one)
                    empty = 0 if one.audio is not None else empty + 1
                    if empty >= give_up_after:
                        raise _broken(one, empty)
    finally:
        pool.shutdown(cancel_futures=True)
    away = [one for one in made if one.away]
    if away:
        raise ConnectionError(
            f"{len(away)} of {len(clips)} clips could not be made, such as {away[0].clip.id}: {away[0].lost}; run the "
            "same command again, only these will be made"
        )
    return made


def _broken(last: TakeResult, count: int) -> Exception:
    reason = last.lost or ": ".join(last.refused[-1])
    kind = ConnectionError if last.away else ValueError
    return kind(
        f"{count} clips in a row came to nothing, the last ({last.clip.speaker}, {last.clip.text!r}): {reason}; put "
        "that right, or change the recipe's gates, and run again: clips that passed are kept"
    )


def _sources(recipe: Recipe, written: str, thoughts: str, clips: int) -> list[Row]:
    voice, own = recipe.synthesiser, isinstance(recipe.annotator, TemplateAnnotator)
    terms = recipe.thoughts_licence or ("written for cogrl; Apache-2.0" if own else "not stated")
    return [
        ("sentences", type(recipe.writer).__name__, recipe.writer.licence, written),
        ("thoughts and replies", type(recipe.annotator).__name__, terms, thoughts),
        ("speech", voice.origin, voice.licence, f"{clips} clips, {len(voice.speakers)} speakers to choose from"),
    ]


def _notes(recipe: Recipe, polarity: Polarity | None) -> list[str]:
    """Notes for the card about what was not checked."""
    notes = []
    if polarity is None:
        notes.append("The sentiment of the words was not checked: the lexicon is English, or none was given.")
    if recipe.transcriber is None:
        notes.append("Whether the speech says the text was not checked: no transcriber is configured.")
    return notes


def _summary(out: Path, recipe: Recipe, rejected: Counter[tuple[str, str]], cached: bool, start: float) -> Summary:
    splits = {name: manifest.read_manifest(out / f"{name}.jsonl") for name in recipe.splits}
    return Summary(
        out=out,
        clips={name: len(rows) for name, rows in splits.items()},
        audio_s=sum(example.duration_s or 0.0 for rows in splits.values() for example in rows),
        rejected=rejected,
        cached=cached,
        seconds=time.monotonic() - start,
    )
