"""Python code in a model's folder: refused unless asked for, then read from that folder alone, and named in the record.

A folder says in `auto_map` of its JSON files which of its Python files holds which class, as `file.Class`.
"""

import json
from pathlib import Path
from typing import Any

from torch import nn

_FILES = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")


def auto_maps(path: str | Path, option: str = "policy.path") -> dict[str, dict[str, Any]]:
    """The `auto_map` of each file of a folder that has one. Raises ValueError for a file that is no JSON."""
    found = {}
    for name in _FILES:
        file = Path(path, name)
        try:
            code = json.loads(file.read_text(encoding="utf-8")).get("auto_map") if file.is_file() else None
        except ValueError as error:
            raise ValueError(f"{option}={str(path)!r}: its {name} is cut ({error}); copy that file again") from error
        if code:
            found[name] = code
    return found


def refuse_code(path: str | Path, option: str = "policy.path") -> None:
    """ValueError for a folder whose files name Python code of their own."""
    for name, code in auto_maps(path, option).items():
        raise ValueError(
            f"{option}={str(path)!r}: its {name} names code of its own ({', '.join(sorted(code))} in auto_map), and "
            "cogrl runs no code out of a model folder unless it is told to: read that code, and give "
            "cogrl.models.any_audio_lm.AnyAudioLM with trust_remote_code: true; or remove auto_map from that file to "
            "read the folder with the classes of transformers"
        )


def refuse_code_from_elsewhere(path: str | Path) -> None:
    """ValueError for an `auto_map` with code of another repository, FileNotFoundError for a file that is not there."""
    for name, code in auto_maps(path).items():
        for reference in references(code):
            given = f"policy.path={str(path)!r}: auto_map in its {name} names {reference}"
            if "--" in reference:
                raise ValueError(
                    f"{given}, code of another repository; nothing is looked up: copy that file into the folder, and "
                    f"write {reference.partition('--')[2]}"
                )
            if not Path(path, f"{reference.partition('.')[0]}.py").is_file():
                raise FileNotFoundError(f"{given}, and that Python file is not in the folder; copy the whole folder")


def references(code: dict[str, Any]) -> list[str]:
    """Each `file.Class` of an `auto_map`; of tokenizers there are two, of which one may be None."""
    pairs = (value if isinstance(value, (list, tuple)) else [value] for value in code.values())
    return [reference for pair in pairs for reference in pair if reference]


def own_class(path: str | Path, name: str) -> type[nn.Module] | None:
    """The class `name` out of the folder's own code, which is run; None where its `auto_map` has none of that name."""
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    for kind, reference in auto_maps(path).get("config.json", {}).items():
        if kind != "AutoConfig" and reference.endswith(f".{name}"):
            found = get_class_from_dynamic_module(reference, str(path), local_files_only=True)
            found.register_for_auto_class(kind)  # so that an export holds the code, too
            if found.config_class.__module__.startswith("transformers_modules"):
                found.config_class.register_for_auto_class()
            return found
    return None
