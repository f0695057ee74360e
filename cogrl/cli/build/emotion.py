"""`cogrl build emotion-encoder`: the small emotion encoder, trained on a manifest and measured on held-out speakers."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_FILES = ("config.json", "model.safetensors", "report.json")


def add_emotion(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("emotion-encoder", help="predicts valence, arousal and dominance; for policy.emotion")
    parser.add_argument("--manifest", type=Path, default=Path("data/lime-mini/sft.jsonl"), help="labelled clips")
    parser.add_argument("--out", type=Path, default=Path("models/emotion"))
    parser.add_argument("--epochs", type=int, default=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(build=emotion_encoder)


def emotion_encoder(options: argparse.Namespace) -> None:
    """Every fifth speaker and every fifth sentence are held out; a clip with only one of them is used for neither.

    Raises FileExistsError when `out` holds anything but an earlier build, ValueError when nothing can be held out.
    """
    from cogrl.audio import load_audio
    from cogrl.cli.digest import digest
    from cogrl.data.build_folder import holds, replacing
    from cogrl.data.errors import raise_all
    from cogrl.data.manifest import read_manifest
    from cogrl.models import emotion_mel, emotion_train
    from cogrl.types import Clip

    given = {name: value for name, value in vars(options).items() if name in ("epochs", "seed")}
    recipe = emotion_train.EncoderRecipe(**given)
    examples = read_manifest(options.manifest)
    emotion_train.labels_of(examples)  # refused before anything is done
    lacking = [(e, field) for e in examples for field in ("speaker", "text_group") if not getattr(e, field)]
    raise_all([f"{e.where} ({e.id}): no {field}, by which clips are held out; add it" for e, field in lacking])
    sources = [Path(module.__file__) for module in (emotion_mel, emotion_train)]
    key = digest(given, [options.manifest, *sources, *(example.audio for example in examples)])
    if holds(options.out, key, _FILES):
        print(f"{options.out} holds this encoder already: nothing to do")
        return
    train, held_out = held_out_split(examples)
    with replacing(options.out, key, _FILES) as folder:
        rate = emotion_mel.MelEmotion().sampling_rate
        clips = [[Clip(e, load_audio(e.audio, rate, name=e.id)) for e in part] for part in (train, held_out)]
        encoder = emotion_train.train_encoder(clips[0], recipe)
        report = measured(encoder, clips[1]) | {"trained_on": len(train), "manifest": str(options.manifest)}
        encoder.save(folder)
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    parameters = sum(p.numel() for p in encoder.parameters())
    print(f"{options.out}: {parameters:,} parameters, trained on {len(train)} clips")
    print(described(report))


def held_out_split(examples: Sequence[Any]) -> tuple[list, list]:
    """Clips of the other speakers with the other sentences, and clips of held-out speakers with held-out sentences."""
    kept = {}
    for field in ("speaker", "text_group"):
        kept[field] = set(sorted({getattr(example, field) for example in examples})[::5])
    held = [[getattr(example, field) in values for field, values in kept.items()] for example in examples]
    train = [example for example, where in zip(examples, held, strict=True) if not any(where)]
    held_out = [example for example, where in zip(examples, held, strict=True) if all(where)]
    if not train or not held_out:
        raise ValueError(
            f"{len(examples)} clips leave {len(train)} to learn from and {len(held_out)} to be measured on; the "
            "manifest needs several speakers who say the same sentences"
        )
    return train, held_out


def measured(encoder: Any, clips: Sequence[Any]) -> dict[str, Any]:
    """Concordance correlation of each dimension and accuracy of the emotion on these clips."""
    import torch

    from cogrl.models.emotion_train import labels_of
    from cogrl.objectives.attributes import ccc
    from cogrl.types import DIMENSIONS

    labels, targets = labels_of([clip.example for clip in clips])
    with torch.no_grad():
        embedding, dimensions = encoder([clip.waveform for clip in clips])
        hits = encoder.emotion_head(embedding).argmax(-1) == labels
    found = {name: 1 - ccc(dimensions[:, i : i + 1], targets[:, i : i + 1]).item() for i, name in enumerate(DIMENSIONS)}
    return {"held_out": len(clips), "emotion_accuracy": hits.float().mean().item(), "ccc": found}


def described(report: dict[str, Any]) -> str:
    shown = ", ".join(f"{name} {value:.3f}" for name, value in report["ccc"].items())
    return (
        f"on {report['held_out']} clips of speakers and sentences it never heard: concordance (CCC) {shown}; "
        f"emotion accuracy {100 * report['emotion_accuracy']:.1f} %"
    )
