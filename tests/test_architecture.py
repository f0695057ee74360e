"""Import direction, file length and the rooms of the house, read from the source."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "atomic": set(),
    "hash64": set(),
    "types": set(),
    "containers": set(),
    "audio_facts": {"atomic", "hash64"},
    "audio": {"atomic", "audio_facts", "types", "containers"},
    "finite": set(),
    "parent_process": set(),
    "progress": set(),
    "ranks": set(),
    "model_input": {"types"},
    "words": set(),
    "pitch": {"types"},
    "markdown": set(),
    "formats": {"types"},
    "objectives": set(),
    "lm_head": set(),
    "chat": {"types"},
    "codecs": {"types", "hash64"},
    "models": {"types", "audio", "hash64", "finite", "progress", "formats", "lm_head", "codecs"},
    "data": {
        "atomic",
        "hash64",
        "types",
        "audio",
        "audio_facts",
        "parent_process",
        "pitch",
        "progress",
        "words",
        "markdown",
    }
    | {"ranks", "formats", "chat", "containers"},
    "rewards": {"types", "audio", "pitch", "words", "formats", "chat", "models"},
    "rollout": {"types", "audio", "formats", "model_input", "objectives", "lm_head", "models", "ranks", "chat"},
    "stages": {"types", "finite", "progress", "formats", "model_input", "objectives", "lm_head", "models", "rewards"}
    | {"ranks", "rollout"},
    "parallel": set(),
    "callbacks": {"atomic", "types", "finite", "ranks", "formats"},
    "evaluate": {"words", "types", "audio", "progress", "markdown", "formats", "model_input", "objectives", "lm_head"}
    | {"models", "data", "rewards", "rollout", "chat"},
    "doctor": {"types", "audio", "formats", "model_input", "lm_head", "models", "data", "rollout", "stages"}
    | {"parallel", "callbacks"},
}
MAY_USE_KERNELS = {"lm_head", "objectives", "cogrl_kernels", "bench", "cli"}
MAY_USE = {"models": {"cogrl_kernels.prefix"}}
"""Single modules of `cogrl_kernels` for a room that else goes through lm_head."""
SOURCES = sorted((ROOT / "cogrl").rglob("*.py")) + sorted((ROOT / "kernels").rglob("*.py"))


def imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            found.append((node.lineno, node.module))
    return found


def violations(path: Path, room: str) -> list[str]:
    wrong = []
    for line, name in imports(path):
        top, *rest = name.split(".")
        target = rest[0] if rest else ""
        here = f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{line}"
        if top == "cogrl" and target and target != room and room in ALLOWED and target not in ALLOWED[room]:
            wrong.append(f"{here}: {room} must not import cogrl.{target}")
        through_the_door = room in MAY_USE_KERNELS or name in MAY_USE.get(room, set())
        if top == "cogrl_kernels" and not through_the_door:
            wrong.append(f"{here}: {room} must not import {name}; go through lm_head")
        if top == "cogrl" and room == "cogrl_kernels":
            wrong.append(f"{here}: the kernels never import cogrl")
    return wrong


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1]


def test_imports_run_in_one_direction():
    wrong = [text for path in SOURCES for text in violations(path, room_of(path))]
    assert wrong == []


def test_a_planted_violation_is_found(tmp_path):
    planted = tmp_path / "sapo.py"
    planted.write_text("from cogrl.stages.rl import RLStage\nimport cogrl_kernels.linear_logprob\n")
    assert "objectives must not import cogrl.stages" in violations(planted, "objectives")[0]
    assert "must not import cogrl_kernels" in violations(planted, "models")[-1]


def test_every_room_is_known():
    rooms = {room_of(path) for path in (ROOT / "cogrl").rglob("*.py")} - {"__init__", "cli"}
    assert rooms <= set(ALLOWED)


def test_files_stay_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: n for name, n in lengths.items() if n > 300} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 120


def names_experiments(path: Path) -> bool:
    """An import, or a string that is a path into the folder."""
    strings = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    paths = {text for text in strings if isinstance(text, str) and re.match(r"(\.*/)?experiments(/|$)", text)}
    return bool(paths) or any(name.split(".")[0] == "experiments" for _, name in imports(path))


def test_neither_the_library_nor_its_tests_use_the_experiments(tmp_path):
    """What stands there is a result with the command that repeats it; its own tests lie beside it."""
    for planted in ('Path("experiments") / "demo"', 'run("experiments/demo/run.py")', "import experiments.demo"):
        (tmp_path / "planted.py").write_text(planted)
        assert names_experiments(tmp_path / "planted.py"), planted
    readers = {Path(__file__), *(ROOT / "tests" / f"test_{name}.py" for name in ("names", "docs_commands"))}
    here = set((ROOT / "tests").rglob("*.py")) - readers  # which read its names and pages as text
    assert [path for path in (*SOURCES, *here) if names_experiments(path)] == []


def test_audio_is_read_in_one_place():
    users = {str(path.relative_to(ROOT)) for path in SOURCES for _, name in imports(path) if name == "soundfile"}
    writers = {"cogrl/audio.py", "cogrl/callbacks/report.py"}
    assert users == {"cogrl/containers/opened.py"} | writers
    reads = [
        name for name in writers if re.search(r"soundfile\.(read|info|blocks|SoundFile)\b", (ROOT / name).read_text())
    ]
    assert reads == []


def test_the_modules_of_a_family_are_spelled_in_one_place():
    """Elsewhere they are `policy.decoder`, `policy.embed`, `policy.head`, `policy.audio_modules`."""
    paths = re.compile(r"\.model\.(model|lm_head|get_input_embeddings)\b|\.language_model\b|\.multi_modal_projector\b")
    assert paths.search("policy.model.model.language_model.layers")
    users = [path for path in SOURCES if paths.search(path.read_text())]
    assert {str(path.relative_to(ROOT).parent) for path in users} == {"cogrl/models"}


def test_kernels_is_a_folder_and_no_package():
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_gpl_libraries_are_imported_only_where_speech_is_made():
    users = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for _, name in imports(path)
        if name.split(".")[0] in ("espeakng_loader", "parselmouth")
    }
    assert users <= {"cogrl/data/synthesis/espeak.py"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a git checkout to list the tracked files")
def test_no_generated_file_is_tracked():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert [f for f in tracked if f.endswith((".pyc", ".ckpt", ".flac", ".wav", ".db", ".safetensors"))] == []
