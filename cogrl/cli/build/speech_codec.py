"""`cogrl build speech-codec`: the embedded codec, trained on the replies of a manifest, and how much it keeps."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_FILES = ("config.json", "model.safetensors", "report.json")


def add_speech_codec(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("speech-codec", help="speech as units and back, trained in seconds; for policy.speech")
    parser.add_argument("--manifest", type=Path, required=True, help="lines with a spoken_reply; without, their clips")
    parser.add_argument("--out", type=Path, default=Path("models/codec"))
    parser.add_argument("--codebooks", type=int, default=4)
    parser.add_argument("--size", type=int, default=256, help="entries of each codebook")
    parser.add_argument("--limit", type=int, default=400, help="clips to learn from, spread over the manifest")
    parser.add_argument("--emotion-encoder", type=Path, help="also say how well it hears emotions through the codec")
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(build=speech_codec)


def speech_codec(options: argparse.Namespace) -> None:
    """Every fifth clip is held out and measured. Raises FileExistsError when `out` holds other files."""
    from dataclasses import asdict

    from cogrl.audio import load_audio
    from cogrl.cli.digest import digest
    from cogrl.cli.spread import spread
    from cogrl.codecs import mel_rvq, quality, spectra
    from cogrl.data.build_folder import holds, replacing
    from cogrl.data.manifest import read_manifest

    examples = read_manifest(options.manifest)
    sounds = [
        (e.spoken_reply.audio, e.spoken_reply.emotion) if e.spoken_reply else (e.audio, e.emotion)
        for e in spread(examples, options.limit)
    ]
    sources = [Path(module.__file__) for module in (mel_rvq, quality, spectra)]
    given = {name: str(value) for name, value in vars(options).items() if name not in ("out", "build")}
    listener = [options.emotion_encoder] if options.emotion_encoder else []
    key = digest(given, [options.manifest, *sources, *listener, *(path for path, _ in sounds)])
    if holds(options.out, key, _FILES):
        print(f"{options.out} holds this codec already: nothing to do")
        return
    sizes = mel_rvq.MelRvqSizes(codebooks=options.codebooks, size=options.size)
    clips = [load_audio(path, sizes.sampling_rate, convert=True) for path, _ in sounds]
    train, held_out = [c for i, c in enumerate(clips) if i % 5], clips[::5]
    with replacing(options.out, key, _FILES) as folder:
        codec = mel_rvq.MelRvq(sizes).fit(train, options.seed)
        report = {"trained_on": len(train), "held_out": len(held_out)} | asdict(quality.measured(codec, held_out))
        if options.emotion_encoder:
            emotions = [emotion for _, emotion in sounds[::5]]
            report |= recognised(codec, held_out, emotions, str(options.emotion_encoder))
        codec.save(folder)
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{options.out}: {codec.fingerprint}, trained on {len(train)} clips")
    print(
        f"on {len(held_out)} others: log-spectral distance {report['distance_db']:.1f} dB, "
        f"{report['bits_a_second']:.0f} bits a second, real-time factor {report['real_time_factor']:.2f}"
    )


def recognised(codec: Any, clips: Sequence[Any], emotions: Sequence[Any], encoder: str) -> dict[str, float]:
    """How often an encoder hears the emotion in which a clip was said, in the clip and through the codec."""
    from cogrl.rewards.spoken_emotion import TONES, read_listener, tones

    listener, found = read_listener(encoder), {}
    rebuilt = codec.decode(codec.encode(clips, codec.sampling_rate), codec.fingerprint)
    for name, sounds in {"original": clips, "through_codec": rebuilt}.items():
        shares = tones(listener, [(sound, codec.sampling_rate) for sound in sounds])
        picked = [TONES[max(range(len(TONES)), key=row.__getitem__)] for row in shares]
        found[f"emotion_accuracy_{name}"] = sum(map(str.__eq__, picked, emotions)) / len(picked)
    return found
