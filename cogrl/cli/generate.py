"""`cogrl generate clip.wav --policy DIR`: greedy answers to one audio file, in the formats `eips` and `direct`."""

import argparse
import json
from pathlib import Path

_TITLES = {"eips": "thinking aloud", "direct": "answering at once"}
"""The formats that it is asked in."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("audio", type=Path, help="any format, rate and number of channels; converted for the model")
    parser.add_argument("--policy", required=True, help="Hugging Face folder, e.g. runs/dr_sapo/export")
    parser.add_argument("--dtype", default="float32", help="of the weights")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument(
        "--silent-clips",
        choices=("refuse", "keep"),
        default="refuse",
        help="keep: silence is asked about too",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def main(options: argparse.Namespace) -> int:
    import torch
    from transformers.utils.logging import disable_progress_bar

    from cogrl.audio import audio_info, load_audio
    from cogrl.data.manifest import raise_all
    from cogrl.formats import format_named, instructions
    from cogrl.formats.eips import perceived_emotion
    from cogrl.models.prompt_length import overflows
    from cogrl.models.saved import saved_policy, saved_window
    from cogrl.rollout.hf import HFEngine
    from cogrl.rollout.sampling import Sampling
    from cogrl.types import Clip, Example

    disable_progress_bar()
    header, window = audio_info(options.audio), saved_window(options.policy)
    reason = window.length_error(header.duration_s)
    if reason is not None:  # before the weights are read
        raise ValueError(f"{options.audio}: {reason}")
    waveform = load_audio(options.audio, window.sampling_rate, convert=True, silent_clips=options.silent_clips)
    policy = saved_policy(options.policy, options.dtype)
    policy.to("cuda" if torch.cuda.is_available() else "cpu")
    name = options.audio.name
    clip = Clip(Example(name, options.audio, "", "", "", "", "neutral"), waveform)
    raise_all(list(overflows(policy, [(clip.example, instructions(_TITLES, clip.example))], options.max_new_tokens)))
    sampling = Sampling(max_new_tokens=options.max_new_tokens, greedy=True)
    said = HFEngine().sample(policy, [clip] * len(_TITLES), list(_TITLES), sampling)
    answers = {
        format: {
            "text": text,
            "emotion": perceived_emotion(text),
            "reply": format_named(format).answer(text, clip.example),
            "finished": bool(finished),
        }
        for format, text, finished in zip(_TITLES, said.texts, said.finished, strict=True)
    }
    if options.json:
        print(json.dumps({"audio": str(options.audio), "policy": options.policy, **answers}, ensure_ascii=False))
        return 0
    for format, title in _TITLES.items():
        print(f"{format} ({title}):\n{answers[format]['text']}\n")
    return 0
