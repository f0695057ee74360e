"""`cogrl generate clip.wav --policy DIR`: greedy answers about audio files, to a question where one is asked."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cogrl.cli.controllers import add_controllers, read_controllers
from cogrl.cli.relistened import check_file_names, relistening, save_segments, segment_lines, segments_of
from cogrl.cli.speaking import add_speaking, refuse_silent, speak, speech_lines

_TITLES = {"eips": "thinking aloud", "direct": "answering at once"}
"""The formats in which a clip without a question is answered."""
_WHOLE_FIRST = (
    " (re-listening cuts its segments out of a clip that was heard whole: Qwen2.5-Omni hears up to 300 s at once; or "
    "ask about each part by itself)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    audio = "any format, rate and number of channels; converted for the model"
    parser.add_argument("audio", type=Path, nargs="+", help=audio)
    parser.add_argument("--policy", required=True, help="Hugging Face folder, e.g. runs/dr_sapo/export")
    parser.add_argument("--question", help="asked about each file; left out: each is answered as what a speaker said")
    parser.add_argument("--choices", nargs="+", metavar="CHOICE", help="of the question; left out: it is an open one")
    parser.add_argument(
        "--format",
        action="append",
        metavar="NAME",
        help="choice, think_choice or echo for a question (default: choice, with --relisten echo), else eips or direct "
        "(default: both, with --speak ieat), or the import path of an own one; repeat for several",
    )
    parser.add_argument("--dtype", default="float32", help="of the weights")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument(
        "--silent-clips",
        choices=("refuse", "keep"),
        default="refuse",
        help="keep: silence is asked about too",
    )
    add_controllers(parser)
    parser.add_argument(
        "--relisten",
        action="store_true",
        help="insert the part of the clip that the answer cites as <seg>start, end</seg> behind it, and say which "
        "(docs/echo.md); by the rules of a Relisten in --controllers, where there is one",
    )
    parser.add_argument(
        "--save-segments", type=Path, metavar="DIR", help="what was inserted, as wav files in a new folder"
    )
    add_speaking(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a file, each on a line, instead of text")


def main(options: argparse.Namespace) -> int:
    import torch
    from transformers.utils.logging import disable_progress_bar

    from cogrl.audio import audio_info, load_audio
    from cogrl.data.errors import raise_all
    from cogrl.formats import instructions
    from cogrl.models.prompt_length import overflows
    from cogrl.models.saved import saved_policy, saved_window
    from cogrl.rollout.hf import HFEngine
    from cogrl.rollout.sampling import Sampling
    from cogrl.types import Clip

    disable_progress_bar()
    formats = options.format or ([question_format(options)] if options.question else unasked_formats(options))
    examples = asked(options, formats)
    controllers = [one for file in options.controllers for one in read_controllers(Path(file))]
    relisten = relistening(controllers, options.relisten, options.save_segments)
    controllers += [relisten] if relisten not in (None, *controllers) else []
    headers, window = [audio_info(file) for file in options.audio], saved_window(options.policy)
    reasons = [window.length_error(header.duration_s) for header in headers]  # before the weights are read
    first = _WHOLE_FIRST if relisten else ""
    raise_all([f"{file}: {reason}{first}" for file, reason in zip(options.audio, reasons, strict=True) if reason])
    if options.save_segments:
        check_file_names(options.save_segments, options.audio)
    if options.speak:
        check_file_names(options.speak, options.audio, "--speak")
        refuse_silent(options.policy)
    how = {"convert": True, "silent_clips": options.silent_clips}
    clips = [Clip(e, load_audio(e.audio, window.sampling_rate, **how)) for e in examples]
    policy = saved_policy(options.policy, options.dtype)
    policy.to("cuda" if torch.cuda.is_available() else "cpu")
    rows = [(example, instructions(formats, example)) for example in examples]
    raise_all(list(overflows(policy, rows, options.max_new_tokens)))
    sampling = Sampling(max_new_tokens=options.max_new_tokens, greedy=True)
    for clip in clips:
        said = HFEngine().sample(policy, [clip] * len(formats), formats, sampling, controllers=controllers)
        answers = {
            format: read(format, text, clip.example) | {"finished": bool(finished)}
            for format, text, finished in zip(formats, said.texts, said.finished, strict=True)
        }
        for row, (format, answer) in enumerate(answers.items() if relisten else ()):
            answer |= segments_of(relisten, said, row)
            if options.save_segments:
                where = (options.save_segments, clip.example.audio, format, clip)
                save_segments(*where, answer["segments"], policy.sampling_rate)
        if options.speak:
            for format, speech in zip(formats, speak(options, policy, said, formats), strict=True):
                answers[format]["speech"] = speech
        show = as_json if options.json else as_text
        print(show(options, str(clip.example.audio), answers), flush=True)
    return 0


def question_format(options: argparse.Namespace) -> str:
    """The format of a question where none is named."""
    return "echo" if options.relisten else "choice"


def unasked_formats(options: argparse.Namespace) -> list[str]:
    """The formats of a clip without a question where none is named."""
    return ["ieat"] if options.speak else list(_TITLES)


def asked(options: argparse.Namespace, formats: Sequence[str]) -> list[Any]:
    """One example a file, checked like a line of a manifest.

    Raises ValueError for an unknown format, for one that does not ask what is given, and for wrong choices.
    """
    from cogrl.data.line import parse_line
    from cogrl.formats import format_named

    given = {"question": options.question, "choices": options.choices}
    given = {key: value for key, value in given.items() if value is not None}
    lines = [{"id": file.name, "audio": str(file), **given} for file in options.audio]
    examples = [parse_line(json.dumps(line).encode(), "command line", Path()) for line in lines]
    for name in formats:
        reason = format_named(name).validate(examples[0])
        if reason:
            raise ValueError(f"--format {name}: {reason}")
    return examples


def read(format: str, text: str, example: Any) -> dict[str, Any]:
    """What a format reads in a completion: what the user hears of it, and the choice or the emotion that it names."""
    from cogrl.formats import format_named
    from cogrl.formats.eips import perceived_emotion

    answer = {"text": text, "reply": format_named(format).answer(text, example)}
    if example.question is None:
        return answer | {"emotion": perceived_emotion(text)}
    return answer | ({"choice": answer["reply"] or None} if example.choices else {})


def as_json(options: argparse.Namespace, file: str, answers: dict[str, Any]) -> str:
    return json.dumps({"audio": file, "policy": options.policy, **answers}, ensure_ascii=False)


def as_text(options: argparse.Namespace, file: str, answers: dict[str, Any]) -> str:
    """The completions as they are, each under its format, with the choice that it names."""
    lines = [file] if len(options.audio) > 1 else []
    for format, answer in answers.items():
        title = f"{format} ({_TITLES[format]})" if format in _TITLES else format
        lines += [f"{title}:", answer["text"]]
        if "choice" in answer:
            none = f"none of {', '.join(options.choices)} (it may name one, and say nothing else)"
            lines.append(f"choice: {answer['choice'] or none}")
        lines += segment_lines(answer)
        lines += speech_lines(answer["speech"]) if "speech" in answer else []
        lines.append("")
    return "\n".join(lines)
