"""Checks of IEAT items: nothing the student reads may name the emotion, and the cause must have been said.

The emotion and its cause enter through the thinking, which the student has to produce; if a prompt or a reply in the
history names them, the student reads what it should infer from the audio (arXiv:2601.04960). The lists are words, not
models: a reply that gives the emotion away without naming it passes.
"""

import itertools
import re
from collections.abc import Iterable

from cogrl.data.recipes.ieat_dialogue import Dialogue, Thought
from cogrl.types import EMOTIONS, Emotion
from cogrl.words import CJK, units

MOST_WORDS = 80
NAMES: dict[Emotion, tuple[str, str]] = {
    "anger": (r"angr|anger|furious|fury|rage|mad\b|annoy|irritat|frustrat|outrag", "愤怒|生气|恼火|气愤"),
    "happy": (r"happ[yi]|joy|glad|delight|thrill|excit|cheer|pleas(?:ed|ure)", "高兴|开心|快乐|喜悦"),
    "sad": (r"sad(?:\b|d?en|ly|ness)|sorrow|grie[fv]|heartbr|unhapp|depress|miserabl", "悲伤|难过|伤心"),
    "surprise": (r"surpris|astonish|stunn|shock|amaz", "惊讶|吃惊|惊喜"),
    "fear": (r"fear|afraid|scar(?:ed|ing|y)\b|terrif|fright|anxi|worr|nervous|panic", "害怕|恐惧|担心|焦虑"),
    "disgust": (r"disgust|revolt|revuls|repuls|gross|nause|sicken", "厌恶|恶心"),
    "neutral": (r"neutral|calm|emotionless", "中性|平静"),
}
"""What names an emotion: beginnings of English words, and Chinese words; regular expressions."""
_NAMED = {emotion: re.compile(rf"\b(?:{english})|{chinese}", re.I) for emotion, (english, chinese) in NAMES.items()}
_LABELS = re.compile(
    r"\b(?:labels?\b|labelled|annotat|metadata|ground truth|according to the (?:data|tag))|标签|标注", re.I
)
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a about all also am an and any are as at be been but by can could did do does for from get got had has have he"
        " her here him his how i if in into is it its just like me my no not now of on or our out she so some than that"
        " the their them then there they this to too up us very was we were what when which who will with would you"
        " your",
    )
)


def named_emotions(text: str) -> set[Emotion]:
    """The emotions that words of `text` name."""
    return {emotion for emotion in EMOTIONS if _NAMED[emotion].search(text)}


def leaks(texts: Iterable[str]) -> str | None:
    """The first of the `texts` a student reads that names an emotion, said as a reason; None when there is none."""
    for text in texts:
        named = named_emotions(text)
        if named:
            return f"a text the student reads names {', '.join(sorted(named))}: {text!r}"
    return None


def content(text: str) -> set[str]:
    """The words that say something: no common words, nothing after an apostrophe; of Chinese and Japanese, pairs."""
    found = units(text)
    pairs = {first + second for first, second in itertools.pairwise(filter(CJK.match, found))}
    spelled = {word.partition("'")[0] for word in found if not CJK.match(word)}
    return {word for word in spelled if len(word) > 1} - _COMMON | pairs


def ungrounded(dialogue: Dialogue, cause: str) -> str | None:
    """Why `cause` does not quote an earlier turn; None when it does.

    Two content words of one earlier turn (all, if it has fewer) must be in it and be most of it. Where the plan says
    which turn is the cause, no other turn may fit better.
    """
    words = content(cause)
    shared = [len(words & content(text)) for text in dialogue.texts[:-1]]
    enough = [min(2, len(content(text))) for text in dialogue.texts[:-1]]
    best = max(range(len(shared)), key=shared.__getitem__)
    turn = best if dialogue.cause is None else dialogue.cause
    if shared[turn] < shared[best] >= enough[best]:
        return f"the cause {cause!r} quotes turn {best + 1}, it lies in turn {turn + 1}"
    if shared[turn] < max(1, enough[turn]) or 2 * shared[turn] < len(words):
        return f"the cause {cause!r} does not quote an earlier turn"
    return None


def validate_thought(dialogue: Dialogue, thought: Thought) -> str | None:
    """Why an item must not be trained on; None when it may."""
    for name, text in (("thinking", thought.thinking), ("reply", thought.reply)):
        if not text.strip():
            return f"the {name} is empty"
        if re.search(r"[<>\n]", text):
            return f"the {name} holds markup or a line break: {text!r}"
    leak = leaks((*dialogue.replies, *dialogue.typed))
    if leak is not None:
        return leak
    length = len(units(thought.thinking))
    if length > MOST_WORDS:
        return f"the thinking has {length} words, at most {MOST_WORDS} are wanted"
    if not thought.cause.strip():
        return "the cause is empty"
    if thought.cause not in thought.thinking:
        return f"the thinking does not hold its cause {thought.cause!r}"
    own = thought.thinking.replace(thought.cause, " ")
    talk = _LABELS.search(own)
    if talk:
        return f"the thinking mentions {talk[0]!r}: at test time there is only the voice"
    named = named_emotions(own)
    if named != {dialogue.emotion}:
        return f"the thinking names {', '.join(sorted(named)) or 'no emotion'}, the voice carries {dialogue.emotion}"
    return ungrounded(dialogue, thought.cause) or _said_aloud(thought)


def _said_aloud(thought: Thought, run: int = 6) -> str | None:
    """Whether the reply repeats `run` words of the thinking in a row."""
    thinking, reply = map(units, (thought.thinking, thought.reply))
    runs = {tuple(thinking[i : i + run]) for i in range(len(thinking) - run + 1)}
    for i in range(len(reply) - run + 1):
        if tuple(reply[i : i + run]) in runs:
            return f"the reply says the thinking aloud: {' '.join(reply[i : i + run])!r}"
    return None
