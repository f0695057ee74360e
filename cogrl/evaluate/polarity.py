"""Do the words contradict the voice? The sentiment of a sentence, and the part of the test set it puts a clip in."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cogrl.data.manifest import read_manifest
from cogrl.rewards.grammar import word_set
from cogrl.rewards.language import not_english
from cogrl.rewards.wording import sentences
from cogrl.types import Emotion, Example, Sentiment

Part = Literal["conflict", "consistent", "neither"]
PARTS: tuple[Part, ...] = ("conflict", "consistent", "neither")

VOICE: dict[Emotion, Sentiment] = {
    "happy": "positive",
    "anger": "negative",
    "sad": "negative",
    "fear": "negative",
    "disgust": "negative",
}
"""The sentiment of a voice. Surprise may be either and neutral is none: both contradict nothing."""

_POSITIVE = word_set(
    """amazing awesome beautiful best better blessed celebrate cheerful congratulations delicious delighted delightful
    easy enjoy enjoyed excellent excited exciting fantastic favorite favourite fine friendly fun funny gift glad good
    gorgeous grateful great happy healed healthy helpful hope improved joy kind laugh laughed love loved lovely lucky
    magnificent nice paradise passed peaceful perfect perfectly pleasant pleased praise praised prize promoted promotion
    proud relaxed relief relieved safe smile smiled splendid succeeded success superb surprise sweet terrific thank
    thankful thanks thrilled treat triumph victory welcome win winner won wonderful"""
)
_NEGATIVE = word_set(
    """abandoned afraid alone angry annoyed annoying ashamed attacked awful bad betrayed bitter blame bored boring broke
    broken cheated crash crashed cried cruel cry crying damaged danger dangerous dead death defeat depressed destroyed
    died difficult dirty disappointed disappointing disappointment disaster disgusted disgusting dreadful dying failed
    failing failure fault fear fired grief guilty hate hated horrible hurt hurts ill insult insulted killed late liar
    lied lonely lose loser losing loss lost mess miserable missed mistake nasty nightmare pain painful pathetic poor
    problem problems refused rejected rotten rude ruined sad scared sick sorry stole stolen stupid suffer suffering
    terrible terrified threatened tired trouble ugly unfair unhappy upset useless victim violent waste wasted weak worse
    worst worthless wrong"""
)
_NEGATIONS = word_set("not no never without neither nor hardly barely cannot nobody nothing")


def text_sentiment(text: str) -> Sentiment:
    """Sentiment of the words, by a small English lexicon: the sign of (positive - negative) words; a tie is neutral.

    A word within three words after a negation counts for the other side ("not happy", "never any trouble"). Irony and
    other languages are beyond it: give `text_sentiment` in the manifest for those.
    """
    score = 0
    for words in sentences(text):
        for i, word in enumerate(words):
            side = (word in _POSITIVE) - (word in _NEGATIVE)
            score += -side if _NEGATIONS.intersection(words[max(0, i - 3) : i]) else side
    return "positive" if score > 0 else "negative" if score < 0 else "neutral"


def part(example: Example) -> Part:
    """`conflict` where the words and the voice have opposite sentiments, `consistent` where they have the same.

    `neither` where one of them has none. The words are judged by the manifest's `text_sentiment` where it is given,
    else by `text_sentiment(text)`, which says nothing of other languages than English (see `unread`). (The subsets of
    arXiv:2606.06940, table 3, whose exact rule is not public.)
    """
    sentiment = "neutral" if unread(example) else example.text_sentiment or text_sentiment(example.text)
    words, sounds = sentiment, VOICE.get(example.emotion)
    if words == "neutral" or sounds is None:
        return "neither"
    return "consistent" if words == sounds else "conflict"


def unread(example: Example) -> bool:
    """Whether the sentiment of the words is unknown: not in the manifest, and not English."""
    return example.text_sentiment is None and not_english(example) is not None


def best_by_words(examples: Sequence[Example]) -> float:
    """The highest accuracy on conflict and consistent clips together that answers to the words alone can reach.

    What such answers gain on one of the two they lose on the other. NaN where there is no such clip.
    """
    voices: dict[str, Counter[Emotion | None]] = {}
    for example in examples:
        if part(example) != "neither":
            voices.setdefault(example.text, Counter())[example.emotion] += 1
    clips = sum(counts.total() for counts in voices.values())
    return sum(max(counts.values()) for counts in voices.values()) / clips if clips else float("nan")


def polar_examples(path: Path) -> list[Example]:
    """The examples of a manifest with polar words. Raises ValueError where none of them conflicts."""
    examples = read_manifest(path)
    if not any(part(example) == "conflict" for example in examples):
        raise ValueError(
            f"{path}: in none of its {len(examples)} clips do words and voice conflict; name a manifest with polar "
            "words (`text_sentiment`), such as data/lime-mini/conflict.jsonl"
        )
    return examples
