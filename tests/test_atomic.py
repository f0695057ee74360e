"""Files and folders that are complete or absent."""

import os
from pathlib import Path

import pytest

from cogrl.atomic import atomic_write, move_into_place


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_in_its_place_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "notes.json"
    path.write_text("old")
    with atomic_write(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old" and unfinished.parent == tmp_path
    assert path.read_text() == "new" and names(tmp_path) == ["notes.json"]


def test_a_folder_replaces_a_folder_whole(tmp_path):
    path = tmp_path / "export"
    for name in ("first", "second"):
        with atomic_write(path) as unfinished:
            unfinished.mkdir()
            (unfinished / name).touch()
    assert names(path) == ["second"] and names(tmp_path) == ["export"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_block_that_raises_leaves_what_was_there(tmp_path, kind):
    path = tmp_path / "kept"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), atomic_write(path) as unfinished:
        unfinished.write_text("half") if kind == "file" else (unfinished / "half").mkdir(parents=True)
        raise OSError("full")
    assert path.read_text() == "old" and names(tmp_path) == ["kept"]


def test_what_a_killed_process_left_is_removed_only_where_nobody_else_writes(tmp_path):
    path, left = tmp_path / "a[1].json", tmp_path / f".a[1].json.{os.getppid()}.part"
    left.write_text("half")
    for exclusive in (False, True):
        with atomic_write(path, exclusive) as unfinished:
            unfinished.touch()
        assert left.exists() != exclusive


def test_nothing_is_lost_when_there_is_nothing_to_move(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("old")
    for path in (tmp_path / "folder", tmp_path / "folder" / "file"):
        with pytest.raises(FileNotFoundError):
            move_into_place(tmp_path / "absent", path)
    assert (tmp_path / "folder" / "file").read_text() == "old" and names(tmp_path) == ["folder"]
