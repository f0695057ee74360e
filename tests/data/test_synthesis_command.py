"""Speech by a real program: what it is given, what is made of each way in which it can fail."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tone_speaker

from cogrl.data.synthesis.command import CommandSynthesiser, CommandTranscriber, run
from cogrl.data.synthesis.expressive import Line, decoded

SCRIPT = tone_speaker.__file__
LINE = Line("It's the exam, so they said.", "anger", "mid", "anna", seed=11)
FIELDS = [
    part for name in ("text", "emotion", "intensity", "speaker", "seed", "out") for part in (f"--{name}", f"{{{name}}}")
]


def voice(*more, **settings):
    argv = [sys.executable, SCRIPT, *FIELDS, *more]
    return CommandSynthesiser(argv, ["anna", "ben"], "CC0", **{"timeout_s": 20.0} | settings)


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_program_is_told_the_line_and_what_it_writes_is_heard():
    speech = voice().say(LINE)
    expected = decoded(tone_speaker.spoken(LINE.text, "anger", "mid", "anna", 11), "x")
    assert speech.sampling_rate == tone_speaker.RATE and speech.waveform.tobytes() == expected.waveform.tobytes()


def test_there_is_no_shell_between(tmp_path):
    evil = f'x; touch {tmp_path}/owned $(touch {tmp_path}/owned) "{{out}}" `id`'
    log = tmp_path / "log"
    voice("--log", str(log)).say(replace(LINE, text=evil))
    assert log.read_text().split("\t")[0] == evil and not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("status", r"failed with status 3: the model has no voice"),
        ("nothing", r"ended well but wrote no \{out\}"),
        ("garbage", r"HTML page.*no audio"),
        ("cut", r"is cut"),
        ("empty", r"no samples"),
    ],
)
def test_a_program_that_fails_refuses_the_line_with_the_reason(fault, reason):
    with pytest.raises(ValueError, match=reason):
        voice("--fault", fault).say(LINE)


def test_a_program_that_hangs_is_killed_with_all_it_started(tmp_path):
    log, start = tmp_path / "log", time.monotonic()
    with pytest.raises(ValueError, match=r"took longer than 1\.5 s"):
        voice("--fault", "hang", "--log", str(log), timeout_s=1.5).say(LINE)
    assert time.monotonic() - start < 15
    pids = log.read_text().splitlines()[1].split()
    end = time.monotonic() + 5
    while not all(map(gone, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert all(map(gone, pids))


def test_what_a_program_leaves_running_does_not_hold_the_build():
    start = time.monotonic()
    lingering = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)']); print(1)"
    )
    assert run([sys.executable, "-c", lingering], 15.0) == b"1\n"
    assert time.monotonic() - start < 15


def test_a_missing_program_is_named_before_any_work():
    with pytest.raises(FileNotFoundError, match="there is no program 'indextts-nowhere'; install it"):
        CommandSynthesiser(["indextts-nowhere", "{text}{emotion}{speaker}", "{out}"], ["a"], "CC0").check("en")
    with pytest.raises(FileNotFoundError, match=r"transcriber\.argv"):
        CommandTranscriber(["hears-nothing-at-all", "{audio}"]).check()
    voice().check("zh")


def test_settings_that_can_not_work_are_refused():
    with pytest.raises(ValueError, match=r"synthesiser\.argv has no place for \{speaker\}, \{out\}"):
        CommandSynthesiser(["say", "{text}", "{emotion}"], ["a"], "CC0")
    with pytest.raises(ValueError, match=r"unknown placeholder \{mood\}"):
        CommandSynthesiser(["say", "{text}{emotion}{speaker}{out}", "{mood}"], ["a"], "CC0")
    with pytest.raises(ValueError, match="must be above 0"):
        voice(timeout_s=0.0)
    with pytest.raises(ValueError, match=r"transcriber\.argv has no place for \{audio\}"):
        CommandTranscriber(["whisper"])


def test_speed_settings_do_not_change_what_it_is_known_by_but_the_revision_does():
    assert voice().version == voice(concurrency=8, timeout_s=3.0).version != voice(revision="2").version
    assert voice().version != voice("--fault", "cut").version


def test_a_transcript_is_what_the_program_prints(tmp_path):
    program = "import sys; print('  the', sys.argv[1].rsplit('/')[-1], sys.argv[2], ' ')"
    transcriber = CommandTranscriber([sys.executable, "-c", program, "{audio}", "{language}"])
    assert transcriber.transcript(tmp_path / "clip.flac", "en") == "the clip.flac en"
    with pytest.raises(ValueError, match=r"status 1: .*no microphone"):
        CommandTranscriber([sys.executable, "-c", "raise SystemExit('no microphone')", "{audio}"]).transcript(
            tmp_path, "en"
        )


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    voice().say(LINE)
    with pytest.raises(ValueError):
        voice("--fault", "garbage").say(LINE)
    assert os.listdir(tmp_path) == []
