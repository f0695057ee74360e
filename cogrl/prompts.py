"""What a policy is asked and given; and the EIPS thought format, rendered and parsed. (arXiv:2606.06940)"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cogrl.types import EMOTIONS, Clip, Conversation, Emotion, Example, Heard, Route, Turn, Waveform

STEPS = ("Perception", "Intent", "Psychology", "Strategy")
INSTRUCTIONS: dict[Route, str] = {
    "A": "Listen to the speaker. Perceive the emotion in the voice and think step by step, then answer.",
    "B": "Listen to the speaker and answer directly with an empathetic reply.",
}
_EIPS = re.compile(
    r"\s*<thought>\s*"
    + r"\s*".join(rf"\[{step}\] (?P<{step.lower()}>[^\[\]<>\n]+)\n" for step in STEPS)
    + r"\s*</thought>\s*<response>(?P<response>[^<>]+)</response>\s*"
)
_PERCEPTION = re.compile(r"\[Perception\]\s*([^\[\n]*)")
_RESPONSE = re.compile(r"<response>([^<>]*)(?:</response>|$)")
_TAG = re.compile(r"</?(?:thought|response)>|\[(?:" + "|".join(STEPS) + r")\]")


def heard(clip: Clip) -> Heard:
    """What a policy hears of a clip: its voice, after those of the earlier turns where they are loaded."""
    voices = zip(clip.example.turns, clip.history, strict=False)
    return _after(clip, [turn.text if voice is None else voice for turn, voice in voices], clip.waveform)


def transcribed(clip: Clip) -> Heard:
    """The text-only control of `heard`: the words of every turn, no audio."""
    return _after(clip, [turn.text for turn in clip.example.turns], clip.example.text)


def read(clip: Clip) -> Heard:
    """What a teacher reads where the policy hears: every turn as it is `told`. A typed turn has no voice to tell of."""
    turns = [_quoted(turn) if turn.audio else turn.text for turn in clip.example.turns]
    return _after(clip, turns, told(clip.example))


def told(example: Example) -> str:
    """What a teacher reads in place of the audio: the words, how they are spoken, and why where the example says it.

    No student ever sees it.
    """
    return _quoted(example) + (f" The cause: {example.cause}" if example.cause else "")


def _quoted(spoken: Example | Turn) -> str:
    voice = "" if spoken.emotion is None else f", with the voice of {spoken.emotion}"
    return f'The speaker says{voice}: "{spoken.text}"'


def _after(clip: Clip, earlier: Sequence[Waveform | str], last: Waveform | str) -> Heard:
    """The turn to answer after the earlier ones and their replies; by itself where the clip was loaded without them."""
    if not clip.history:
        return last
    return Conversation((*earlier, last), tuple(turn.reply for turn in clip.example.turns))


@dataclass(frozen=True)
class Eips:
    """Emotion perception, Intent, Psychology, Strategy, and the reply. `perception` starts with the emotion label."""

    perception: str
    intent: str
    psychology: str
    strategy: str
    response: str

    def render(self) -> str:
        """The one canonical form; `parse_eips(render())` gives the same fields back."""
        steps = "".join(f"[{step}] {getattr(self, step.lower())}\n" for step in STEPS)
        return f"<thought>\n{steps}</thought><response>{self.response}</response>"


def parse_eips(completion: str) -> Eips | None:
    """The fields of a well-formed route-A completion, or None: every tag once, in order, nothing left over."""
    match = _EIPS.fullmatch(completion)
    return Eips(**{name: value.strip() for name, value in match.groupdict().items()}) if match else None


def perceived_emotion(completion: str) -> Emotion | None:
    """The label that opens the Perception step, or None.

    Lenient about the rest of the form, strict about the label: there must be exactly one Perception step, the label
    must be its first word, and a second label in the same step makes the claim void (listing labels earns nothing).
    """
    steps = _PERCEPTION.findall(completion)
    if len(steps) != 1:
        return None
    words = re.findall(r"[a-z]+", steps[0].lower())
    named = [word for word in words if word in EMOTIONS]
    return named[0] if len(named) == 1 and words[0] == named[0] else None


def reply(completion: str, route: Route) -> str:
    """What the user would hear: the `<response>` part on route A, the whole text on route B; '' when there is none.

    A route-B completion that contains thought or response markup is no direct answer and yields ''.
    """
    if route == "B":
        return "" if _TAG.search(completion) else completion.strip()
    parts = _RESPONSE.findall(completion)
    return parts[0].strip() if len(parts) == 1 else ""
