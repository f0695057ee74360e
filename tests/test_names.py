import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDERS = ("cogrl", "kernels", "experiments", "tests", "configs")
INSTEAD = {
    "Room": "PromptBudget",
    "lack": "overflow",
    "without_room": "overflows",
    "again": "resample_flat_groups for a method, reloaded or repeated for a second result",
    "dice": "generator (of torch) or rng",
    "ears": "audio_modules",
    "hearable": "audio_lengths",
    "unhearable": "audio_length_error",
    "Heard": "ModelInput",
    "heard": "inputs, waveform or prompts",
    "told": "message",
    "Hearing": "Condition",
    "hearing": "condition",
    "Verdict": "JudgeScores",
    "Verdicts": "JudgeResults",
    "verdict": "scores",
    "verdicts": "results",
    "refusal": "validate for a method, message for a text",
    "Selective": "Validates",
    "Studio": "TakeRenderer",
    "studio": "renderer",
    "Made": "TakeResult",
    "Kept": "CachedAnswer",
    "Patience": "RetryPolicy",
    "patience": "retry",
}
"""Private words, and the term of the field to use in their place."""
WORD = re.compile(rf"(?:.*_)?({'|'.join(INSTEAD)})(?:_.*)?")
FIELDS = ("id", "attr", "arg", "name", "asname")
"""The fields of syntax nodes that hold an identifier."""


def keys(tree: Any) -> Iterator[str]:
    """Keys of a YAML file at any depth."""
    if isinstance(tree, dict):
        yield from map(str, tree)
    for part in (tree.values() if isinstance(tree, dict) else tree) if isinstance(tree, (dict, list)) else ():
        yield from keys(part)


def names_in(path: Path) -> set[str]:
    """Identifiers of a Python file, or keys of a YAML file, and the file's own name; test functions are free."""
    own = path.stem.removeprefix("test_")
    if path.suffix == ".yaml":
        return {own, *keys(yaml.safe_load(path.read_text()))}
    nodes = ast.walk(ast.parse(path.read_text()))
    names = {getattr(node, field, None) or "" for node in nodes for field in FIELDS}
    return {own} | {part for name in names if isinstance(name, str) for part in name.split(".") if part[:5] != "test_"}


def private_words(path: Path) -> list[str]:
    found = {name: WORD.fullmatch(name) for name in names_in(path)}
    return sorted(f"{path}: {name}; say {INSTEAD[match[1]]}" for name, match in found.items() if match)


def test_names_are_the_terms_of_the_field():
    paths = [path for name in FOLDERS for kind in ("*.py", "*.yaml") for path in (ROOT / name).rglob(kind)]
    assert len(paths) > 300
    assert [text for path in paths for text in private_words(path)] == []


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("stage.py", "def refusal(example): ...\n"),
        ("stage.py", "generator = stage.dice(attempt=1)\n"),
        ("table.py", "rows = [name for name in _heard_rows]\n"),
        ("hearable.py", ""),
        ("test_refusal.py", ""),
        ("tiny_ears.yaml", ""),
        ("judge.yaml", "client:\n  init_args:\n    patience: {attempts: 2}\n"),
    ],
)
def test_a_planted_word_is_found(tmp_path, file, content):
    (tmp_path / file).write_text(content)
    assert len(private_words(tmp_path / file)) == 1


def test_the_words_are_free_in_prose(tmp_path):
    (tmp_path / "stage.py").write_text('"""What the user heard, told again."""\n\n\ndef test_it_is_heard(): ...\n')
    assert private_words(tmp_path / "stage.py") == []
