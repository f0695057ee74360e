"""`cogrl build`: the embedded corpora and model, made here once, and manifests of recorded corpora."""

import argparse
import json
import shutil
from importlib import import_module
from pathlib import Path

from cogrl.cli.build_annotate import add_annotate
from cogrl.cli.build_corpora import add_corpora
from cogrl.cli.build_emotion import add_emotion
from cogrl.cli.build_ieat import add_ieat
from cogrl.cli.build_lime import add_lime
from cogrl.cli.build_qa_mini import add_qa_mini
from cogrl.cli.build_whisper_smollm import add_whisper_smollm
from cogrl.cli.digest import digest

_SIZES = {
    "window_s": "encoder window in whole seconds; no longer clip is heard",
    "mel_bins": "mel bands",
    "tower_width": "width of the audio encoder",
    "tower_layers": "layers of the audio encoder",
    "width": "width of the language model",
    "layers": "layers of the language model",
    "vocab_size": "most entries of the tokenizer",
}

_FAMILIES = {"qwen2_audio": ("tiny",), "qwen25_omni": ("tiny", "tiny_omni")}
"""Modules of `cogrl.models` whose source makes the tiny model of a family; the last one builds it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    targets = parser.add_subparsers(required=True)
    corpus = targets.add_parser("lime-mini", help="the spoken corpus: manifests, audio and a card")
    corpus.add_argument("--out", type=Path, default=Path("data/lime-mini"))
    corpus.add_argument("--tier", default="mini", help="mini (espeak-ng voices) or smoke (a numpy voice, for tests)")
    corpus.add_argument("--seed", type=int, default=0)
    corpus.add_argument("--workers", type=int, help="processes; default: all cores")
    corpus.set_defaults(build=lime_mini)
    model = targets.add_parser("tiny-model", help="a small random policy with its own tokenizer")
    model.add_argument("--family", choices=_FAMILIES, default="qwen2_audio", help="default: %(default)s")
    model.add_argument("--out", type=Path, help="default: models/tiny, or models/tiny-omni for that family")
    model.add_argument(
        "--manifest", type=Path, default=Path("data/lime-mini/sft.jsonl"), help="texts for the tokenizer"
    )
    model.add_argument("--seed", type=int, default=0)
    for name, text in _SIZES.items():
        model.add_argument(f"--{name.replace('_', '-')}", type=int, default=argparse.SUPPRESS, help=text)
    model.set_defaults(build=tiny_model)
    add_corpora(targets)
    add_annotate(targets)
    add_ieat(targets)
    add_lime(targets)
    add_qa_mini(targets)
    add_emotion(targets)
    add_whisper_smollm(targets)


def main(options: argparse.Namespace) -> int:
    options.build(options)
    return 0


def lime_mini(options: argparse.Namespace) -> None:
    from cogrl.data.recipes.lime_mini import build_lime_mini

    summary = build_lime_mini(options.out, options.tier, options.seed, options.workers)
    clips = ", ".join(f"{count} {split}" for split, count in summary.clips.items())
    print(f"{summary.out}: {clips} clips, {summary.audio_s / 60:.1f} min of speech ({summary.seconds:.1f} s)")


def tiny_model(options: argparse.Namespace) -> None:
    """Written beside `out` and moved into place; a folder that holds exactly this build is left as it is.

    Raises FileExistsError when `out` holds anything but an earlier build.
    """
    from transformers.utils.logging import disable_progress_bar

    from cogrl.data.manifest import read_manifest
    from cogrl.formats import instructions

    disable_progress_bar()
    examples = read_manifest(options.manifest)
    asked = dict.fromkeys(text for e in examples for text in instructions(e.targets, e))
    corpus = [*asked, *(text for e in examples for text in (e.text, *e.targets.values()))]
    sizes = {name: value for name, value in vars(options).items() if name in _SIZES}
    modules = [import_module(f"cogrl.models.{name}") for name in _FAMILIES[options.family]]
    source = "".join(Path(module.__file__).read_text(encoding="utf-8") for module in modules)
    recipe = digest([options.seed, sizes, corpus, source])
    out = options.out or Path("models", _FAMILIES[options.family][-1].replace("_", "-"))
    unfinished, note = out.with_name(out.name + ".part"), out / "build.json"
    if out.exists() and any(out.iterdir()) and not note.is_file():
        raise FileExistsError(f"{out} exists and is no earlier build; remove it or choose another --out")
    if note.is_file() and json.loads(note.read_text())["recipe"] == recipe and (out / "config.json").is_file():
        print(f"{out} holds this model already: nothing to do")
        return
    shutil.rmtree(unfinished, ignore_errors=True)
    parameters = modules[-1].build_tiny_model(unfinished, corpus, options.seed, **sizes)
    (unfinished / "build.json").write_text(json.dumps({"recipe": recipe, "parameters": parameters}) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)
    print(f"{out}: {parameters:,} parameters")
