"""`cogrl build tiny-model`: a small random policy with its own tokenizer."""

import argparse
from importlib import import_module
from inspect import signature
from pathlib import Path

from cogrl.cli.build.policy_files import POLICY_FILES
from cogrl.cli.digest import digest

_SIZES = {
    "window_s": "encoder window in whole seconds; no longer clip is heard",
    "mel_bins": "mel bands",
    "tower_width": "width of the audio encoder",
    "tower_layers": "layers of the audio encoder",
    "width": "width of the language model",
    "layers": "layers of the language model",
    "vocab_size": "most entries of the tokenizer",
    "first_pass_pooling": "audio frames of 40 ms that a token of the prompt's clip stands for (family qwen2_audio)",
}

_FAMILIES = {
    "qwen2_audio": ("tiny",),
    "qwen25_omni": ("tiny", "tiny_omni"),
    "qwen3_omni": ("tiny", "tiny_omni", "tiny_omni3"),
    "audio_flamingo": ("tiny", "tiny_flamingo"),
    "voxtral": ("tiny", "tiny_voxtral"),
    "qwen3_asr": ("tiny", "tiny_qwen3_asr"),
}
"""Modules of `cogrl.models` whose source makes the tiny model of a family; the last one builds it."""


def add_tiny_model(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("tiny-model", help="a small random policy with its own tokenizer")
    parser.add_argument("--family", choices=_FAMILIES, default="qwen2_audio", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, help="default: models/tiny, of another family models/tiny-omni, models/tiny-flamingo ..."
    )
    parser.add_argument(
        "--manifest", type=Path, nargs="+", default=[Path("data/lime-mini/sft.jsonl")], help="texts for the tokenizer"
    )
    parser.add_argument("--seed", type=int, default=0)
    for name, text in _SIZES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=argparse.SUPPRESS, help=text)
    parser.set_defaults(build=tiny_model)


def tiny_model(options: argparse.Namespace) -> None:
    """Complete or absent; a folder that holds exactly this build is left as it is.

    Raises FileExistsError when `out` holds anything but an earlier build.
    """
    from transformers.utils.logging import disable_progress_bar

    from cogrl.data.build_folder import holds, replacing
    from cogrl.data.manifest import read_manifest
    from cogrl.formats import instructions

    disable_progress_bar()
    examples = [example for path in options.manifest for example in read_manifest(path)]
    asked = dict.fromkeys(text for e in examples for text in instructions(e.targets, e))
    corpus = [*asked, *(text for e in examples for text in (e.text, *e.targets.values()))]
    sizes = {name: value for name, value in vars(options).items() if name in _SIZES}
    modules = [import_module(f"cogrl.models.{name}") for name in _FAMILIES[options.family]]
    unknown = sizes.keys() - signature(modules[-1].build_tiny_model).parameters.keys()
    if unknown:
        raise ValueError(f"--family {options.family} has no --{min(unknown).replace('_', '-')}; leave it out")
    source = "".join(Path(module.__file__).read_text(encoding="utf-8") for module in modules)
    recipe = digest([options.seed, sizes, corpus, source])
    out = options.out or Path("models", _FAMILIES[options.family][-1].replace("_", "-"))
    if holds(out, recipe, POLICY_FILES):
        print(f"{out} holds this model already: nothing to do")
        return
    with replacing(out, recipe, POLICY_FILES) as folder:
        parameters = modules[-1].build_tiny_model(folder, corpus, options.seed, **sizes)
    print(f"{out}: {parameters:,} parameters")
