"""The cache of answers: kept on disk, shared by processes, never in the way."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest

from cogrl.chat.cache import AnswerCache, CachedAnswer

WRITER = """
import sys
from pathlib import Path
from cogrl.chat.cache import AnswerCache, CachedAnswer
with AnswerCache(Path(sys.argv[1])) as cache:
    for i in range(200):
        cache.put(f"{sys.argv[2]}-{i}", CachedAnswer("x" * 500, i, 1))
        cache.put("shared", CachedAnswer("the same", 1, 1))
"""


def test_an_answer_outlives_the_cache_object(tmp_path):
    file = tmp_path / "deep" / "answers.sqlite"
    with AnswerCache(file) as cache:
        assert cache.get("a") is None
        cache.put("a", CachedAnswer("Grüße", 3, 2))
    with AnswerCache(file) as cache:
        assert cache.get("a") == CachedAnswer("Grüße", 3, 2) and cache.get("b") is None


def test_without_a_file_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with AnswerCache(None) as cache:
        cache.put("a", CachedAnswer("x", 1, 1))
        assert cache.get("a") is None
    assert list(tmp_path.iterdir()) == []


def test_several_processes_write_to_one_file(tmp_path):
    file = tmp_path / "answers.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, file, str(n)]) for n in range(8)]
    assert [writer.wait() for writer in writers] == [0] * 8
    with AnswerCache(file) as cache:
        assert all(cache.get(f"{n}-{i}") == CachedAnswer("x" * 500, i, 1) for n in range(8) for i in range(200))
        assert cache.get("shared") == CachedAnswer("the same", 1, 1)


def test_a_file_that_is_no_cache_is_refused_by_name(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("These are notes, and there are enough of them to look like a header." * 20)
    with pytest.raises(OSError, match=r"notes\.txt"), AnswerCache(file):
        pass
    assert file.read_text().startswith("These are notes")


def test_a_cache_that_another_process_blocks_is_reported_once_and_left_alone(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("cogrl.chat.cache._WAIT_S", 0.02)
    file = tmp_path / "answers.sqlite"
    with AnswerCache(file) as cache:
        cache.put("a", CachedAnswer("x", 1, 1))
        with contextlib.closing(sqlite3.connect(file)) as other:
            other.execute("BEGIN EXCLUSIVE")
            cache.put("b", CachedAnswer("x", 1, 1))
            cache.put("c", CachedAnswer("x", 1, 1))
        assert cache.get("a") is None
    assert ["locked" in record.getMessage() for record in caplog.records] == [True]


def test_a_cache_that_is_blocked_from_the_start_holds_nobody_up(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("cogrl.chat.cache._OPEN_S", 0.05)
    monkeypatch.setattr("cogrl.chat.cache._WAIT_S", 0.02)
    file = tmp_path / "answers.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with AnswerCache(file) as cache:
            cache.put("a", CachedAnswer("x", 1, 1))
            assert cache.get("a") is None
    assert ["locked" in record.getMessage() for record in caplog.records] == [True]


def test_a_folder_that_can_not_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), AnswerCache(tmp_path / "file" / "answers.sqlite"):
        pass
    with pytest.raises(OSError, match="name another file"), AnswerCache(tmp_path):
        pass
