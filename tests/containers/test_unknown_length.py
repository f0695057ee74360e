"""Files whose header does not say, or says wrongly, how long they are: all of their sound counts."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import surgery
from surgery import RATE, encoded, sound

from cogrl.audio import audio_info, load_audio
from cogrl.containers.flac import _crc8
from cogrl.data.audio_check import check_audio_files
from cogrl.data.corpora.corpus import Reading, Source, with_audio, write_corpus
from cogrl.data.manifest import read_manifest
from cogrl.types import Example

FLAC, MP3, WAV = (encoded(sound(), name) for name in ("flac", "mp3", "wav"))
FRAMES = surgery.xing_frames(MP3)
HEADLESS = surgery.without_xing(MP3)
VBRI = b"VBRI" + bytes([0, 1, 0, 0, 0, 75]) + len(MP3).to_bytes(4, "big") + FRAMES.to_bytes(4, "big")
OTHER_HEADER = (MP3[:4] + bytes(32) + VBRI).ljust(len(MP3) - len(HEADLESS), b"\0")
CASES = {
    "FLAC of unknown length": surgery.with_flac_samples(FLAC, 0),
    "FLAC that promises less": surgery.with_flac_samples(FLAC, RATE),
    "FLAC of unknown length behind a tag": surgery.id3(900) + surgery.with_flac_samples(FLAC, 0),
    "WAV of size zero": surgery.with_data_size(WAV, 0),
    "MP3 without a header": HEADLESS,
    "MP3 with a header of another encoder": (MP3[:4] + bytes(32) + VBRI).ljust(len(MP3) - len(HEADLESS), b"\0")
    + HEADLESS,
    "MP3 that promises less": surgery.with_xing_frames(MP3, 20),
    "MP3 whose header counts itself": surgery.with_xing_frames(MP3, FRAMES + 1),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_does_not_say_its_length_is_heard_to_its_end(tmp_path, case):
    path = tmp_path / "clip.bin"
    path.write_bytes(CASES[case])
    waveform = load_audio(path)
    assert len(waveform) == audio_info(path).frames
    # an MP3 begins with the delay of its encoder, which only a header tells
    assert len(waveform) == 2 * RATE if "MP3" not in case else 2 * RATE <= len(waveform) <= 2 * RATE + 1728
    lag = np.argmax(np.correlate(waveform[: RATE + 1728], sound()[:RATE, 0], "valid"))
    assert np.corrcoef(waveform[lag : lag + RATE], sound()[:RATE, 0])[0, 1] > 0.9


@pytest.mark.parametrize("order", [1, -1])
def test_an_mp3_of_two_bit_rates_without_a_header_is_heard_whole(tmp_path, order):
    """A length guessed from the first frame's bit rate is too short or too long by far."""
    parts = [bare(level) for level in (0.99, 0.0)][::order]
    path = tmp_path / "clip.mp3"
    path.write_bytes(b"".join(parts))
    assert audio_info(path).duration_s == pytest.approx(4.1, abs=0.12)
    assert len(load_audio(path)) == audio_info(path).frames


def bare(level: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound(), RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=level)
    return surgery.without_xing(file.getvalue())


def test_two_mp3_files_in_one_are_heard_both(tmp_path):
    path = tmp_path / "clip.mp3"
    path.write_bytes(MP3 + MP3)
    assert len(load_audio(path)) > 4 * RATE


def test_a_flac_of_unknown_length_that_is_cut_is_refused(tmp_path):
    path = tmp_path / "clip.flac"
    path.write_bytes(surgery.with_flac_samples(FLAC, 0)[: len(FLAC) // 2])
    for open_it in (audio_info, load_audio):
        with pytest.raises(ValueError, match=r"clip.flac: .*damaged"):
            open_it(path)


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_24"])
def test_the_length_of_any_flac_is_found_in_its_last_frame(tmp_path, rate, channels, subtype):
    samples = sound(1.0, rate, channels)[: rate - 77]
    path = tmp_path / "clip.flac"
    path.write_bytes(surgery.with_flac_samples(encoded(samples, "flac", rate, subtype), 0))
    assert audio_info(path).frames == rate - 77


@pytest.mark.parametrize("promised", [0, 9000])
def test_sound_that_looks_like_the_head_of_another_last_frame_is_no_frame(tmp_path, promised):
    """White noise is stored as it is, and so is a false head in it: of a frame as long as those before."""
    samples = np.random.default_rng(0).uniform(-1, 1, 9000).astype(np.float32)
    plain = encoded(samples, "flac")
    frames = [match.start() for match in re.finditer(b"\xff\xf8", plain)]
    head = bytes([*plain[frames[0] : frames[0] + 4], 2])
    samples[8500:8503] = np.frombuffer(head + bytes([_crc8(head)]), ">i2") / 2**15
    content = surgery.with_flac_samples(encoded(samples, "flac"), promised)
    assert content.rfind(head) > frames[-1] + 500
    path = tmp_path / "clip.flac"
    path.write_bytes(content)
    assert audio_info(path).frames == len(load_audio(path)) == 9000


@pytest.mark.parametrize("rate", [8000, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_of_every_rate_is_as_long_as_it_was(tmp_path, rate, channels):
    path = tmp_path / "clip.mp3"
    path.write_bytes(encoded(sound(1.0, rate, channels), "mp3", rate))
    waveform = load_audio(path, rate, convert=True)
    assert rate <= len(waveform) <= rate + 2304 and len(waveform) == audio_info(path).frames


def test_manifests_and_cards_of_such_files_hold_the_true_length(tmp_path):
    for name, case in (("a.flac", "FLAC of unknown length"), ("b.mp3", "MP3 that promises less")):
        (tmp_path / name).write_bytes(CASES[case])
    source = Source("Toy", "https://example.org", "CC0")
    found = [Example(n, tmp_path / n, "train", "Well.", n, "s", "sad") for n in ("a.flac", "b.mp3")]
    reading = Reading(source, {"train": []})
    reading.splits["train"] = with_audio(found, source, False, reading.dropped)
    card = write_corpus(reading, tmp_path / "out")
    assert "| train | 2 | 0.00 |" in card
    rows = read_manifest(tmp_path / "out" / "train.jsonl")
    assert [row.duration_s for row in rows] == [2.0, pytest.approx(2.06, abs=0.06)]
    check_audio_files(rows, max_s=3.0)
    with pytest.raises(ValueError, match=r"lasts 2.00 s, the limit is 1 s"):
        check_audio_files([replace(rows[0], where="x")], max_s=1.0)
