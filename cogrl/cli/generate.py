"""`cogrl generate clip.wav --policy DIR`: both routes' greedy answers about one audio file."""

import argparse
import json
from pathlib import Path


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
    from cogrl.models.prompt_length import without_room
    from cogrl.models.saved import saved_policy, saved_window
    from cogrl.prompts import perceived_emotion, reply
    from cogrl.rollout.hf import HFEngine
    from cogrl.rollout.sampling import Sampling
    from cogrl.types import ROUTES, Clip, Example

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
    raise_all(list(without_room(policy, [clip.example], options.max_new_tokens)))
    sampling = Sampling(max_new_tokens=options.max_new_tokens, greedy=True)
    said = HFEngine().sample(policy, [clip] * len(ROUTES), list(ROUTES), sampling)
    answers = {
        route: {
            "text": text,
            "emotion": perceived_emotion(text),
            "reply": reply(text, route),
            "finished": bool(finished),
        }
        for route, text, finished in zip(ROUTES, said.texts, said.finished, strict=True)
    }
    if options.json:
        print(json.dumps({"audio": str(options.audio), "policy": options.policy, **answers}, ensure_ascii=False))
        return 0
    for route, title in (("A", "thinking aloud"), ("B", "direct")):
        print(f"route {route} ({title}):\n{answers[route]['text']}\n")
    return 0
