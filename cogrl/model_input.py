"""The inputs of a model for a clip: its audio, its transcript (a control), or the text that a teacher reads."""

from collections.abc import Sequence

from cogrl.types import Clip, Conversation, Example, ModelInput, Turn, Waveform


def audio_input(clip: Clip) -> ModelInput:
    """The waveform of a clip, after those of the earlier turns where they are loaded."""
    voices = zip(clip.example.turns, clip.history, strict=False)
    return _after(clip, [turn.text if voice is None else voice for turn, voice in voices], clip.waveform)


def text_input(clip: Clip) -> ModelInput:
    """The text-only control of `audio_input`: the words of every turn, no audio."""
    return _after(clip, [turn.text for turn in clip.example.turns], clip.example.text)


def teacher_input(clip: Clip) -> ModelInput:
    """The text a teacher reads in place of the audio: a description of every turn; the text itself of a typed one."""
    turns = [_quoted(turn) if turn.audio else turn.text for turn in clip.example.turns]
    return _after(clip, turns, describe(clip.example))


def describe(example: Example) -> str:
    """What a teacher reads in place of the audio: the words, how they are spoken, and why where the example says it.

    No student ever sees it.
    """
    return _quoted(example) + (f" The cause: {example.cause}" if example.cause else "")


def _quoted(spoken: Example | Turn) -> str:
    voice = "" if spoken.emotion is None else f", with the voice of {spoken.emotion}"
    return f'The speaker says{voice}: "{spoken.text}"'


def _after(clip: Clip, earlier: Sequence[Waveform | str], last: Waveform | str) -> ModelInput:
    """The turn to answer after the earlier ones and their replies; by itself where the clip was loaded without them."""
    if not clip.history:
        return last
    return Conversation((*earlier, last), tuple(turn.reply for turn in clip.example.turns))


def original_clip(item: ModelInput) -> Waveform | None:
    """The clip that segments are cut out of: that of the turn to answer; None where it is text."""
    last = item.turns[-1] if isinstance(item, Conversation) else item
    return None if isinstance(last, str) else last
