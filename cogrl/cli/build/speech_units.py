"""`cogrl build speech-units`: the spoken replies of manifests as units of a codec."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_speech_units(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("speech-units", help="spoken replies as units of a codec, for the stage Speak")
    parser.add_argument("--manifest", type=Path, nargs="+", required=True, help="lines with a spoken_reply")
    parser.add_argument(
        "--codec", type=Path, required=True, help="folder of build speech-codec, or of a Mimi, DAC, EnCodec"
    )
    parser.add_argument("--codebooks", type=int, help="how many of its codebooks; default: all")
    parser.add_argument("--out", type=Path, required=True, help="folder for manifests of the same names")
    parser.add_argument(
        "--emotion-encoder",
        type=Path,
        help="leave out replies in which it hears another emotion than they are to be said in, once they are units",
    )
    parser.set_defaults(build=speech_units)


def speech_units(options: argparse.Namespace) -> None:
    """Prints how many replies were encoded, and how many were left out because of what is heard in them."""
    from cogrl.cli.out_folder import make_out_folder
    from cogrl.codecs import read_codec
    from cogrl.data.manifest import read_manifest, write_manifest
    from cogrl.rewards.spoken_emotion import read_listener

    codec = read_codec(options.codec, options.codebooks)
    listener = read_listener(str(options.emotion_encoder)) if options.emotion_encoder else None
    out = make_out_folder(options.out)
    for source in options.manifest:
        if source.resolve() == (out / source.name).resolve():
            raise ValueError(f"--out {out} would replace {source}; give another folder")
        kept, rejected = encoded(read_manifest(source), codec, listener)
        if not kept:
            raise ValueError(
                f"{source}: none of its {len(rejected)} replies is left; {next(iter(rejected.values()), '')}"
            )
        write_manifest(out / source.name, kept)
        lines = (json.dumps({"id": name, "reason": reason}) + "\n" for name, reason in rejected.items())
        (out / f"{source.name}.rejected.jsonl").write_text("".join(lines), encoding="utf-8")
        print(f"{out / source.name}: {len(kept)} replies in units of {codec.fingerprint}, {len(rejected)} left out")


def encoded(examples: Sequence[Any], codec: Any, listener: Any | None) -> tuple[list[Any], dict[str, str]]:
    """The examples with units, and the reason for each that was left out.

    Raises ValueError for a line without a spoken reply.
    """
    from dataclasses import replace

    from cogrl.audio import load_audio
    from cogrl.progress import progress
    from cogrl.rewards.spoken_emotion import TONES, tones

    kept, rejected, name = [], {}, codec.fingerprint
    for example in progress(examples, "speech units", len(examples), unit="reply"):
        reply = example.spoken_reply
        if reply is None:
            raise ValueError(
                f"{example.where} ({example.id}): no spoken_reply to encode; make them with: cogrl build spoken-replies"
            )
        waveform = load_audio(reply.audio, codec.sampling_rate, name=example.id, convert=True)
        (units,) = codec.encode([waveform], codec.sampling_rate)
        if listener is not None and reply.emotion is not None:
            (sound,) = codec.decode([units], name)
            (shares,) = tones(listener, [(sound, codec.sampling_rate)])
            sounds_like = TONES[max(range(len(TONES)), key=shares.__getitem__)]
            if sounds_like != reply.emotion:
                rejected[example.id] = f"to be said in {reply.emotion}, sounds like {sounds_like}"
                continue
        rows = tuple(map(tuple, units.tolist()))
        kept.append(replace(example, spoken_reply=replace(reply, codec=name, units=rows)))
    return kept, rejected
