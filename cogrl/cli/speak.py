"""`cogrl speak`: the spoken replies of policies to a manifest, as files, on a page with players, and in figures."""

import argparse
import json
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--policy", action="append", required=True, metavar="[NAME=]DIR", help="with a Speak branch; repeat for several"
    )
    parser.add_argument("--data", type=Path, required=True, help="JSONL manifest to test on")
    parser.add_argument("--history", choices=("heard", "left_out"), help="what is done with earlier turns of dialogues")
    parser.add_argument("--emotion-encoder", type=Path, required=True, help="the listener: build emotion-encoder")
    parser.add_argument("--format", default="ieat", help="ieat (default) or direct")
    parser.add_argument("--out", type=Path, required=True, help="new folder for figures, answers, pages, wav files")
    parser.add_argument("--limit", type=int, help="only so many clips, spread over the manifest")
    parser.add_argument(
        "--wavs", type=int, default=14, help="how many replies are kept as files (default: %(default)s)"
    )
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--max-speech-s", type=float, default=16.0, help="where a reply is cut")
    parser.add_argument("--speech-temperature", type=float, default=0.8, help="of units; 0 takes the most likely ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="float32")


def main(options: argparse.Namespace) -> int:
    """Raises ValueError, before any policy is asked, for one without a Speak branch or with the name of another, and
    for lines without an emotion.
    """
    import resource

    from cogrl.cli.evaluate import policy_name, refuse_repeated
    from cogrl.cli.out_folder import make_out_folder
    from cogrl.cli.speaking import speaking_of
    from cogrl.cli.spread import spread
    from cogrl.data.errors import raise_all
    from cogrl.data.manifest import read_manifest, with_history
    from cogrl.evaluate.controls import transcript, voice
    from cogrl.evaluate.spoken import spoken_figures, spoken_records, spoken_replies
    from cogrl.models.saved import saved_policy
    from cogrl.models.speak import holds_branch
    from cogrl.rewards.spoken_emotion import read_listener

    names = [policy_name(item) for item in options.policy]
    refuse_repeated("--policy", names, "tell them apart with --policy NAME=DIR")
    named = dict(zip(names, (item.rpartition("=")[2] for item in options.policy), strict=True))
    silent = [folder for folder in named.values() if not holds_branch(folder)]
    if silent:
        raise ValueError(f"{silent[0]} holds no Speak branch; train one with configs/stage/speak.yaml")
    examples = with_history(read_manifest(options.data), options.history)
    examples = spread(examples, options.limit)
    unmarked = [e for e in examples if e.emotion is None]
    raise_all([f"{e.where} ({e.id}): no emotion, so that it is unknown how a reply should sound" for e in unmarked])
    listener, out = read_listener(str(options.emotion_encoder)), make_out_folder(options.out)
    figures: dict[str, Any] = {}
    records: list[dict[str, Any]] = []
    for name, folder in named.items():
        policy = saved_policy(folder, options.dtype)
        clips = loaded(examples, policy.sampling_rate)
        speaking = speaking_of(options, policy)
        for condition, given in {"voice": voice, "transcript": transcript}.items():
            how = (options.format, listener, speaking, given, options.max_new_tokens)
            said = spoken_replies(policy, clips, *how, seed=options.seed)
            found = spoken_figures(said)
            figures.setdefault(name, {})[condition] = {key: number(value) for key, value in found.items()}
            records += [{"policy": name, "given": condition, **record} for record in spoken_records(said)]
            print(
                f"{name}, {condition}: " + ", ".join(f"{key} {value:.3g}" for key, value in found.items()), flush=True
            )
            if condition == "voice":
                keep(out / name, said, clips, policy.sampling_rate, options.wavs)
        figures[name]["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (out / "answers.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return 0


def number(value: float) -> float | None:
    """A number for JSON, which has no NaN: None where a figure is of nothing."""
    return None if value != value else value


def loaded(examples: Any, sampling_rate: int) -> list[Any]:
    """The clips of examples, with their earlier turns."""
    from cogrl.audio import load_audio
    from cogrl.types import Clip

    def read(path: Any, name: str) -> Any:
        return load_audio(path, sampling_rate, name=name, convert=True)

    return [
        Clip(e, read(e.audio, e.id), tuple(turn.audio and read(turn.audio, e.id) for turn in e.turns)) for e in examples
    ]


def keep(folder: Path, said: Any, clips: Any, sampling_rate: int, most: int) -> None:
    """`<id>.wav` of the first replies, and `page.html` with players for the user and for the reply."""
    from cogrl.audio import wav_bytes
    from cogrl.callbacks.report import rollout_page

    folder.mkdir(parents=True, exist_ok=True)
    records, speech = [], []
    for group, (answer, emotion, wanted) in enumerate(zip(said.answers, said.emotions, said.intended, strict=True)):
        if group == most:
            break
        note = f"to be said in {wanted}; sounds like {emotion}"
        record = {"group": group, "format": answer.format, "completion": answer.text, "note/voice": note}
        records.append(record | {"finished": answer.finish == "end"})
        speech.append(answer.speech)
        if answer.speech is not None and answer.speech.waveform is not None:
            sound = wav_bytes(answer.speech.waveform, answer.speech.sampling_rate)
            (folder / f"{answer.example.id}.wav").write_bytes(sound)
    page = rollout_page(0, records, clips[: len(records)], sampling_rate, speech)
    (folder / "page.html").write_text(page, encoding="utf-8")
