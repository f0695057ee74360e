"""`cogrl generate --speak`: the replies of an answer as wav files, written while they are spoken."""

import argparse
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def add_speaking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--speak",
        type=Path,
        metavar="DIR",
        help="speak the replies into wav files in a new folder; the policy needs a Speak branch (docs/speech.md)",
    )
    add_speech_settings(parser)


def add_speech_settings(parser: argparse.ArgumentParser) -> None:
    """How units are drawn."""
    parser.add_argument("--speech-temperature", type=float, default=0.8, help="of units; 0 takes the most likely ones")
    parser.add_argument("--max-speech-s", type=float, default=16.0, help="where a reply is cut")
    parser.add_argument("--speech-seed", type=int, default=0)


def refuse_silent(policy: str) -> None:
    """ValueError for the folder of a policy without a Speak branch, before anything is read."""
    from cogrl.models.speak import holds_branch

    if not holds_branch(policy):
        raise ValueError(
            f"--policy {policy} has no Speak branch, so that --speak has nothing to speak with; train one with "
            "configs/stage/speak.yaml, or leave --speak out"
        )


def speaking_of(options: argparse.Namespace, policy: Any) -> Any:
    """The `Speaking` of the options for the codec of a policy."""
    from cogrl.rollout.spoken import Speaking

    budget = max(1, round(options.max_speech_s * policy.speech.space.frame_rate))
    return Speaking(options.speech_temperature or 1.0, options.speech_temperature == 0, budget)


def speak(options: argparse.Namespace, policy: Any, said: Any, formats: Sequence[str]) -> list[dict[str, Any] | None]:
    """Of each answer in `said` the spoken reply: file, seconds, whether it ended by itself; None without one."""
    import torch

    from cogrl.rollout.spoken import written_states

    speaking = speaking_of(options, policy)
    found: list[dict[str, Any] | None] = [None] * len(formats)
    with torch.no_grad():
        rows, read = written_states(policy, said)
        for i, row in enumerate(rows):
            file = options.speak / f"{Path(said.clips[0].example.audio).stem}.{formats[row]}.wav"
            generator = torch.Generator(policy.device).manual_seed(options.speech_seed)
            found[row] = write(file, policy, alone(read, i), speaking, generator)
    return found


def alone(read: Any, i: int) -> Any:
    """What the branch reads of one reply, without its padding."""
    from cogrl.models.speak import ReplyStates

    own = int(read.mask[i].sum())
    return ReplyStates(read.states[i : i + 1, :own], read.mask[i : i + 1, :own])


def write(file: Path, policy: Any, read: Any, speaking: Any, generator: Any) -> dict[str, Any]:
    """The wav file of one reply, chunk after chunk while its units are drawn."""
    branch, ended = policy.speech, []
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(branch.codec.sampling_rate)
        for samples in streamed(policy, read, speaking, generator, ended):
            sound.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
        seconds = sound.getnframes() / branch.codec.sampling_rate
    return {"file": str(file), "seconds": round(seconds, 3), "finished": bool(ended)}


def streamed(policy: Any, read: Any, speaking: Any, generator: Any, ended: list[bool]) -> Iterator[Any]:
    """Samples of whole chunks, as soon as there are units for one; `ended` gets an entry when the reply ends."""
    import torch

    from cogrl.codecs.streaming import StreamingDecoder
    from cogrl.rollout.spoken import frames_of, unit_steps

    branch = policy.speech
    stream, frames = StreamingDecoder(branch.codec), 0
    for drawn, _ in unit_steps(policy, read, speaking, generator):
        units, finished = frames_of(drawn, branch.space.codebooks, branch.decoder.end)
        units = units[: speaking.max_frames - frames]
        frames += len(units)
        if finished:
            ended.append(True)
        yield stream.feed(units)
    nothing = torch.zeros(0, branch.space.codebooks, dtype=torch.long, device=policy.device)
    yield stream.feed(nothing, last=True)


def speech_lines(speech: dict[str, Any] | None) -> list[str]:
    """What is printed about a spoken reply."""
    if speech is None:
        return ["speech: none (nothing of this answer is said aloud)"]
    cut = "" if speech["finished"] else ", cut at --max-speech-s"
    return [f"speech: {speech['file']} ({speech['seconds']:.2f} s{cut})"]
