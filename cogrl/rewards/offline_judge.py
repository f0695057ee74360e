"""A judge without a network: cues of the seven emotions plus checks that the text is English and the reply a reply."""

from collections.abc import Sequence
from functools import lru_cache

from cogrl.rewards.evidence import CueIndex, cues, facets
from cogrl.rewards.judge import JudgeScores, ReplyRequest, Request
from cogrl.rewards.language import not_english
from cogrl.rewards.lexicon import DIRECTION_OF, DIRECTIONS, DISMISSALS, MOVES, PLATITUDES, SCENES
from cogrl.rewards.wording import copied, disguised, order_slips, repetitive, sentences, stuffed
from cogrl.types import Emotion, Example

_DISMISSALS = CueIndex(cues(DISMISSALS))
_PLATITUDES = CueIndex(cues(PLATITUDES))
_DIRECTIONS = {name: CueIndex(cues(listing)) for name, listing in DIRECTIONS.items()}
_MOVES = {name: CueIndex(cues(listing)) for name, listing in MOVES.items()}
_scene = lru_cache(maxsize=1_000)(lambda scenario: CueIndex(cues(SCENES.get(scenario, scenario.lower()))))


class OfflineJudge:
    """English rubric judge, deterministic, microseconds a reply. The rubric is CogAudio-LLM's (arXiv:2606.06940).

    A reply earns 4 when it names the gold category and shows the need beneath it or a fitting next step; 3 when it only
    names the category, or shows need and step without naming it; 2 for one such sign, or for the broad direction
    ("sorry" for anger, sadness, fear, disgust; "great" for happiness; "wow" for surprise; "okay" for neutral); else 1.

    Lowered to 2: naming a second category, more need and step cues of another emotion than of the gold one, quoting
    the user. To 3: as many cues of another, one slip of word order, no sentence end. To 1: committing to another
    category only, to opposite ones, or to three; dismissal; word salad, keyword lists, repetition, other scripts,
    shouting, fewer than `min_words` distinct or more than `max_words` words.
    """

    def __init__(self, min_words: int = 6, max_words: int = 150):
        self.min_words = min_words
        self.max_words = max_words

    def judge(self, requests: Sequence[Request]) -> Sequence[JudgeScores | Exception]:
        """The scores of each reply and each thought, in order."""
        return [self._scores(request) for request in requests]

    def empathy(self, text: str, emotion: Emotion, reply: str) -> int:
        """Rubric score 1-4 (see `ReplyRequest`)."""
        said = sentences(reply)
        cap = self._cap(reply, said, [word for sentence in sentences(text) for word in sentence])
        if cap == 1 or said in _DISMISSALS or (emotion == "neutral" and said in _PLATITUDES):
            return 1
        found = facets(said, emotion, address=True)
        own = found.pop(emotion)
        found.pop("neutral", None)
        named = {name for name, shown in found.items() if "feeling" in shown}
        if named and ("feeling" not in own or len(named) > 1 or emotion == "neutral" or _opposed({emotion, *named})):
            return 1
        depth = len(own - {"feeling"})
        rival = max(len(shown - {"feeling"}) for shown in found.values())
        if "feeling" in own:
            score = 4 if depth else 3
        elif depth:
            score = 1 + depth
        else:
            directions = {name for name, index in _DIRECTIONS.items() if said in index}
            clash = {"positive", "negative"} <= directions
            score = 2 if DIRECTION_OF[emotion] in directions and not clash else 1
        if named or rival > depth:
            cap = min(cap, 2 if own else 1)
        elif rival == depth and rival:
            cap = min(cap, 3)
        return min(score, cap)

    def step(self, name: str, emotion: Emotion, scenario: str | None, content: str) -> float:
        """Score in [0, 1] of a thought step: 0.6 for fitting the emotion, 0.4 for being that kind of step.

        Without the former the latter counts a quarter. An Intent must also mention the scenario where one is known.
        0 for a step that fits another emotion better, or that is no sentence. Raises KeyError for an unknown `name`.
        """
        said = sentences(content)
        words = [word for sentence in said for word in sentence]
        move = float(said in _MOVES[name])
        if len(set(words)) < 3 or len(words) > 40 or disguised(content) or repetitive(said) or stuffed(said):
            return 0.0
        if order_slips(content) > 1:
            return 0.0
        found = facets(said, emotion, address=False)
        own = found.pop(emotion)
        found.pop("neutral", None)
        if any("feeling" in shown or len(shown) > len(own) for shown in found.values()):
            return 0.0
        if name == "Intent" and scenario is not None:
            move = (move + (said in _scene(scenario))) / 2
        return 0.6 + 0.4 * move if own else 0.1 * move

    def validate(self, example: Example) -> str | None:
        """Why answers to `example` can not be graded: it is not English (see `not_english`)."""
        return not_english(example)

    def _scores(self, request: Request) -> JudgeScores:
        if isinstance(request, ReplyRequest):
            return {"empathy": self.empathy(request.text, request.emotion, request.reply)}
        return {name: self.step(name, request.emotion, request.scenario, content) for name, content in request.steps}

    def _cap(self, reply: str, said: list[list[str]], source: list[str]) -> int:
        """The best score that the wording alone allows."""
        words = [word for sentence in said for word in sentence]
        if len(set(words)) < self.min_words or len(words) > self.max_words:
            return 1
        if disguised(reply) or repetitive(said) or stuffed(said):
            return 1
        slips = order_slips(reply)
        quoted = copied(words, source)
        if slips > 1 + len(words) // 30 or quoted > len(words) / 2:
            return 1
        if quoted:
            return 2
        return 3 if slips > len(words) // 30 or not reply.rstrip(" \"'”’").endswith((".", "!", "?")) else 4


def _opposed(emotions: set[str]) -> bool:
    return "happy" in emotions and bool(emotions & {"anger", "sad", "fear", "disgust"})
