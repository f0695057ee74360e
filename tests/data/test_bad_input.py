"""Bad input, one kind after the other: refused before training, by file, line and id; what `convert` makes of a format.

The same through `cogrl fit` is in tests/cli/fit/test_bad_data.py.
"""

import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from torch.utils.data import DataLoader

from cogrl.audio import load_audio
from cogrl.data.module import AudioData
from cogrl.types import ClipBatch

SECOND = np.sin(np.arange(16_000) / 20).astype(np.float32) / 4


def wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> None:
    soundfile.write(path, samples, rate, format="WAV", subtype="FLOAT")


def header_only(path: Path) -> None:
    """44 bytes that promise a second of audio: libsndfile reads them without complaint."""
    data = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 32_036, b"WAVE", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16, b"data", 32_000
    )
    path.write_bytes(data)


@pytest.fixture
def corpus(smoke_corpus, tmp_path):
    return shutil.copytree(smoke_corpus, tmp_path / "corpus")


def lines(corpus: Path, split: str = "sft") -> list[dict]:
    return [json.loads(line) for line in (corpus / f"{split}.jsonl").read_text().splitlines()]


def rewrite(corpus: Path, records: list[dict | str], split: str = "sft") -> None:
    rows = (record if isinstance(record, str) else json.dumps(record) for record in records)
    (corpus / f"{split}.jsonl").write_text("".join(f"{row}\n" for row in rows))


def set_up(corpus: Path, **settings) -> AudioData:
    data = AudioData(train=str(corpus / "sft.jsonl"), val=str(corpus / "val.jsonl"), **settings)
    data.setup("fit")
    return data


def error_message(corpus: Path, **settings) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        set_up(corpus, **settings)
    return str(caught.value)


CLIPS = {
    "missing": (lambda path: path.unlink(), "no such audio file"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "no such audio file"),
    "zero bytes": (lambda path: path.write_bytes(b""), "cannot be decoded (0 bytes"),
    "zero length": (lambda path: wav(path, SECOND[:0]), "holds no samples"),
    "header only": (header_only, "is cut: holds 0.000 of the 1.000 s that its header promises"),
    "NaN": (lambda path: wav(path, np.where(np.arange(16_000) == 99, np.nan, SECOND)), "1 samples are NaN or infinite"),
    "infinite": (
        lambda path: wav(path, np.where(np.arange(16_000) < 3, np.inf, SECOND)),
        "3 samples are NaN or infinite",
    ),
    "stereo": (lambda path: wav(path, np.stack([SECOND, SECOND], 1)), "has 2 channels, not 1"),
    "44.1 kHz": (lambda path: wav(path, np.tile(SECOND, 2), 44_100), "44100 Hz, the model hears 16000 Hz"),
    "a click": (lambda path: wav(path, SECOND[:100]), "lasts 6 ms, less than 20 ms"),
    "integers as floats": (lambda path: wav(path, np.round(SECOND * 32767)), "peaks at 8192, sound lies in [-1, 1]"),
    "silence": (lambda path: wav(path, 0 * SECOND), "is silent"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "is cut: holds "),
    "a page": (lambda path: path.write_text("<html>404</html>"), "seems to be an HTML page"),
    "text": (lambda path: path.write_text("404 not found"), "cannot be decoded"),
}


@pytest.mark.parametrize("kind", CLIPS)
def test_a_bad_clip_is_refused_by_file_line_and_id(corpus, kind):
    spoil, reason = CLIPS[kind]
    records = lines(corpus)
    for number in (2, 5):
        records[number].pop("duration_s")  # what the file itself says decides
        spoil(corpus / records[number]["audio"])
    rewrite(corpus, records)
    message = error_message(corpus)
    first, second = message.splitlines()
    for number, line in ((3, first), (6, second)):
        assert line.startswith(f"{corpus / 'sft.jsonl'}:{number} ({records[number - 1]['id']}): ") and reason in line


def test_a_file_that_was_cut_is_noticed_by_the_duration_of_its_line(corpus):
    record = lines(corpus)[0]
    whole, rate = soundfile.read(corpus / record["audio"], dtype="float32")
    wav(corpus / record["audio"], whole[: len(whole) // 2], rate)
    assert f"sft.jsonl:1 ({record['id']})" in error_message(corpus) and "a truncated file?" in error_message(corpus)


LINES = {
    "a wrong label": (lambda r: r | {"emotion": "joy"}, "unknown emotion 'joy'; allowed: anger, happy"),
    "a label in capitals": (lambda r: r | {"emotion": "SAD"}, "unknown emotion 'SAD'"),
    "a wrong intensity": (lambda r: r | {"intensity": "medium"}, "unknown intensity 'medium'; allowed: low, mid, high"),
    "a rating off the scale": (lambda r: r | {"valence": 5}, "valence must lie in [-1, 1], got 5"),
    "a rating that is no number": (lambda r: r | {"arousal": float("nan")}, "arousal is no finite number"),
    "a misspelt key": (lambda r: r | {"speeker": "x"}, "unknown key 'speeker'; did you mean 'speaker'?"),
}


@pytest.mark.parametrize("kind", LINES)
def test_a_bad_line_is_refused_by_file_line_and_id(corpus, kind):
    spoil, reason = LINES[kind]
    records = lines(corpus)
    records[3] = spoil(records[3])
    rewrite(corpus, records)
    message = error_message(corpus)
    assert message.startswith(f"{corpus / 'sft.jsonl'}:4 ({records[3]['id']}): ") and reason in message


@pytest.mark.parametrize("cut", [-1, 40, 1])
def test_a_broken_line_is_refused_by_file_and_line(corpus, cut):
    records = lines(corpus)
    rewrite(corpus, [*records[:2], json.dumps(records[2])[:cut], *records[3:]])
    assert error_message(corpus).startswith(f"{corpus / 'sft.jsonl'}:3: not JSON: ")


def test_a_duplicate_id_is_refused_with_both_lines(corpus):
    records = lines(corpus)
    records[4]["id"] = records[1]["id"]
    rewrite(corpus, records)
    where, name = corpus / "sft.jsonl", records[1]["id"]
    assert error_message(corpus) == f"{where}:5 ({name}): duplicate id {name!r}, first at {where}:2"


@pytest.mark.parametrize("field", ["text_group", "speaker"])
def test_a_text_group_or_speaker_in_two_splits_is_refused_with_both_lines_unless_it_may_be_shared(corpus, field):
    train, val = lines(corpus), lines(corpus, "val")
    val[1][field] = train[3][field]
    rewrite(corpus, val, "val")
    first = next(number for number, record in enumerate(train, start=1) if record[field] == train[3][field])
    message = error_message(corpus)
    assert message.startswith(f"{corpus / 'val.jsonl'}:2 ({val[1]['id']}): {field} {train[3][field]!r} of split 'val'")
    assert f"is also in split 'train' ({corpus / 'sft.jsonl'}:{first})" in message
    other = {"text_group": "speaker", "speaker": "text_group"}[field]
    assert field in error_message(corpus, disjoint=[field])
    set_up(corpus, disjoint=[other])
    set_up(corpus, disjoint=[])


@pytest.mark.parametrize("field", ["id", "audio"])
def test_a_clip_in_two_splits_is_refused_whatever_may_be_shared(corpus, field):
    train, val = lines(corpus), lines(corpus, "val")
    val[0][field] = train[0][field]
    val[0].pop("duration_s")
    rewrite(corpus, val, "val")
    assert error_message(corpus, disjoint=[]).startswith(f"{corpus / 'val.jsonl'}:1 ({val[0]['id']}): {field} ")


def test_a_promise_nobody_knows_is_refused():
    with pytest.raises(ValueError, match=r"data\.disjoint names 'dialogue'; allowed: text_group, speaker"):
        AudioData(disjoint=["dialogue"])


def test_stereo_at_44_1_khz_is_mixed_and_resampled_only_when_asked_to(corpus):
    record = lines(corpus)[0]
    time = np.arange(44_100) / 44_100
    left, right = (np.sin(2 * np.pi * hertz * time) / 4 for hertz in (300, 500))
    wav(corpus / record["audio"], np.stack([left, right], 1).astype(np.float32), 44_100)
    rewrite(corpus, [record | {"duration_s": 1.0}, *lines(corpus)[1:]])
    assert "has 2 channels" in error_message(corpus)
    waveform = set_up(corpus, convert=True).clips("train")[0].waveform
    assert waveform.shape == (16_000,) and waveform.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(waveform)) * 2 / len(waveform)
    np.testing.assert_allclose(spectrum[[300, 500]], 0.125, rtol=0.02)
    np.testing.assert_array_equal(waveform, load_audio(corpus / record["audio"], convert=True))


@pytest.mark.parametrize("kind", ["missing", "zero length", "NaN", "header only"])
def test_convert_excuses_nothing_else(corpus, kind):
    spoil, reason = CLIPS[kind]
    record = lines(corpus)[0]
    spoil(corpus / record["audio"])
    rewrite(corpus, [{k: v for k, v in record.items() if k != "duration_s"}, *lines(corpus)[1:]])
    message = error_message(corpus, convert=True)
    assert f"sft.jsonl:1 ({record['id']})" in message and reason in message


def in_opposite_phase(path: Path) -> None:
    wav(path, np.stack([SECOND, -SECOND], 1))


@pytest.mark.parametrize("spoil", [in_opposite_phase, CLIPS["silence"][0]])
def test_the_policy_for_silent_clips_decides(corpus, spoil):
    record = lines(corpus)[0]
    spoil(corpus / record["audio"])
    rewrite(corpus, [{k: v for k, v in record.items() if k != "duration_s"}, *lines(corpus)[1:]])
    assert f"sft.jsonl:1 ({record['id']})" in error_message(corpus, convert=True)
    waveform = set_up(corpus, convert=True, silent_clips="keep").clips("train")[0].waveform
    assert len(waveform) == 16_000 and not waveform.any()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("change", ["bytes", "time"])
def test_a_file_that_changes_after_the_check_is_named_and_not_heard(corpus, workers, change):
    data = set_up(corpus, workers=workers, batch_size=4)
    loader = DataLoader(data.clips("val"), batch_size=4, num_workers=workers, collate_fn=ClipBatch)
    record = lines(corpus, "val")[0]
    path = corpus / record["audio"]
    if change == "bytes":
        wav(path, np.tile(SECOND, 2)[: 16_000 + 99])
    else:
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    with pytest.raises(
        ValueError, match=rf"val.jsonl:1 \({record['id']}\): .*{path.name}: has changed since it was checked"
    ):
        next(iter(loader))
