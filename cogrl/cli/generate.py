"""`cogrl generate clip.wav --policy DIR`: both routes' greedy answers about one audio file."""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("audio", type=Path, help="any format, rate and number of channels; converted for the model")
    parser.add_argument("--policy", required=True, help="Hugging Face folder, e.g. runs/dr_sapo/export")
    parser.add_argument("--dtype", default="float32", help="of the weights")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")


def main(options: argparse.Namespace) -> int:
    import torch
    from transformers.utils.logging import disable_progress_bar

    from cogrl.audio import load_audio
    from cogrl.models.saved import refuse_no_policy, saved_policy
    from cogrl.prompts import perceived_emotion, reply
    from cogrl.rollout.hf import HFEngine
    from cogrl.rollout.sampling import Sampling
    from cogrl.types import ROUTES, Clip, Example

    if not options.audio.is_file():
        raise FileNotFoundError(f"{options.audio}: no such audio file")
    refuse_no_policy(options.policy)
    disable_progress_bar()
    policy = saved_policy(options.policy, options.dtype)
    policy.to("cuda" if torch.cuda.is_available() else "cpu")
    waveform = load_audio(options.audio, policy.sampling_rate, max_s=policy.max_audio_s, convert=True)
    name = options.audio.name
    clip = Clip(Example(name, options.audio, "", "", "", "", "neutral"), waveform)
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
