"""Files that hold less sound than they promise, and whole ones that only look like it."""

import re

import numpy as np
import pytest
import surgery
from surgery import RATE, encoded, sound

from cogrl.audio import audio_info, decode_audio, load_audio

WHOLE = {name: encoded(sound(), name) for name in surgery.FORMATS}


def kept(tmp_path, content: bytes, name: str = "clip.bin"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def error_message(path) -> str:
    """What both ways of opening say of a file; neither may take it."""
    said = []
    for open_it in (audio_info, load_audio):
        with pytest.raises(ValueError) as caught:
            open_it(path, name="train.jsonl:7 (c07)")
        said.append(str(caught.value))
    assert all(text.startswith(f"train.jsonl:7 (c07): {path}: ") for text in said)
    return said[0]


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_heard_to_its_end_whatever_its_suffix(tmp_path, name):
    for suffix in (name, "raw", "mp3"):
        path = kept(tmp_path, WHOLE[name], f"clip.{suffix}")
        waveform = load_audio(path, name="c")
        assert len(waveform) == audio_info(path).frames == 2 * RATE
        assert np.corrcoef(waveform, sound()[:, 0])[0, 1] > 0.9


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_file_cut_in_the_middle_is_refused(tmp_path, name, share):
    message = error_message(kept(tmp_path, WHOLE[name][: int(share * len(WHOLE[name]))], f"clip.{name}"))
    within_the_last_frame = name == "flac" and share == 0.9  # all its frames begin, so their number tells nothing
    assert ("cut at its end" if within_the_last_frame else "is cut: holds ") in message
    assert message.endswith("; get the file again, or drop it")


@pytest.mark.parametrize(("name", "share"), [("wav", 0.75), ("w64", 0.75), ("rf64", 0.75), ("mp3", 0.5), ("flac", 0.5)])
def test_a_cut_file_is_named_with_both_lengths(tmp_path, name, share):
    message = error_message(kept(tmp_path, WHOLE[name][: int(share * len(WHOLE[name]))]))
    held, promised = (float(message.split(before)[1].split()[0]) for before in ("holds ", "of the "))
    assert abs(promised - 2.0) < 0.12 and abs(held - 2 * share) < 0.25


def test_a_file_without_its_last_bytes_is_refused(tmp_path):
    for name, content in WHOLE.items():
        if name not in ("caf", "w64"):  # both end with padding
            assert re.search("is cut|cut at its end", error_message(kept(tmp_path, content[:-10], name)))


def test_an_mp3_whose_header_says_210_s_and_whose_sound_lasts_2_s_is_refused_with_both_lengths(tmp_path):
    frames = round(210.9 * RATE / 576)
    path = kept(tmp_path, surgery.with_xing_frames(WHOLE["mp3"], frames), "clip.mp3")
    assert "is cut: holds 2.088 of the 210.888 s that its header promises" in error_message(path)


def test_an_mp3_without_a_header_that_ends_within_a_frame_is_refused(tmp_path):
    bare = surgery.without_xing(WHOLE["mp3"])
    assert "ends within a frame" in error_message(kept(tmp_path, bare[: len(bare) // 2]))


@pytest.mark.parametrize("name", ["ogg", "opus"])
def test_an_ogg_file_without_its_last_page_is_refused_with_what_it_holds(tmp_path, name):
    pages = surgery.ogg_pages(WHOLE[name])
    message = error_message(kept(tmp_path, b"".join(pages[:-1])))
    held = float(message.split("holds ")[1].split()[0])
    assert 0.9 < held < 2 and "without the page that ends an Ogg stream" in message


@pytest.mark.parametrize("name", ["ogg", "opus"])
def test_a_chain_of_ogg_streams_is_refused_because_only_the_first_would_be_heard(tmp_path, name):
    path = kept(tmp_path, WHOLE[name] + encoded(sound(1.0), name), "a b.ogg")
    message = error_message(path)
    assert "2 Ogg streams, of which only the first (2.000 s) would be heard" in message
    assert f"ffmpeg -i '{path}' -ac 1 -ar 16000 '{path.with_suffix('.flac')}'" in message


def test_a_wav_whose_data_lie_behind_what_its_header_promises_is_refused(tmp_path):
    wav = surgery.with_data_size(WHOLE["wav"], 1000)
    assert "1.969 s of something behind the 0.031 s of sound" in error_message(kept(tmp_path, wav))


def test_a_flac_with_a_damaged_frame_is_refused_when_it_is_heard(tmp_path):
    content = bytearray(WHOLE["flac"])
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(ValueError, match="damaged audio data"):
        load_audio(kept(tmp_path, bytes(content)))


def test_the_bytes_of_a_cut_file_are_refused_as_the_file_is():
    for content in (WHOLE["wav"], WHOLE["mp3"], WHOLE["flac"], WHOLE["ogg"]):
        with pytest.raises(ValueError, match="the voice: is cut"):
            decode_audio(content[: len(content) // 2], "the voice")


def odd(data: bytes) -> bytes:
    """A WAV of an odd number of bytes, without the byte that would pad it."""
    return surgery.with_data_size(data, len(data) - 44)


HARMLESS = {
    "a list of tags after the sound": WHOLE["wav"] + b"LIST" + (26).to_bytes(4, "little") + b"INFOISFT" + bytes(18),
    "an id3 chunk after the sound": WHOLE["wav"] + b"id3 " + (600).to_bytes(4, "little") + surgery.id3(590),
    "some bytes after the sound": WHOLE["wav"] + bytes(64),
    "a size of all ones, from a pipe": surgery.with_data_size(WHOLE["wav"], 2**32 - 1),
    "a size of zero, from a pipe": surgery.with_data_size(WHOLE["wav"], 0),
    "the size sox writes to a pipe": surgery.with_data_size(WHOLE["wav"], 0x7FFFF000),
    "8 bits, odd, not padded": encoded(sound(), "wav", subtype="PCM_U8"),
    "24 bits, odd, not padded": encoded(sound(), "wav", subtype="PCM_24"),
    "32 bits": encoded(sound(), "wav", subtype="PCM_32"),
    "double": encoded(sound(), "wav", subtype="DOUBLE"),
    "A-law": encoded(sound(), "wav", subtype="ALAW"),
    "mu-law": encoded(sound(), "wav", subtype="ULAW"),
    "ADPCM": encoded(sound(), "wav", subtype="IMA_ADPCM"),
    "extensible": WHOLE["wavex"],
    "an MP3 with a picture": surgery.id3(5000) + WHOLE["mp3"],
    "an MP3 with a tag at its end": WHOLE["mp3"] + b"TAG" + bytes(125),
    "a FLAC behind an ID3 tag": surgery.id3(2000) + WHOLE["flac"],
    "a FLAC with a tag at its end": WHOLE["flac"] + b"TAG" + bytes(125),
    "a FLAC with bytes that look like the head of frame 111": WHOLE["flac"] + b"\xff\xf8\xc0\x08o\xa5" + bytes(32),
    "a FLAC with bytes that look like the head of frame 0": WHOLE["flac"] + b"\xff\xf8\xc0\x08\x00\xaf" + bytes(32),
    "Ogg with bytes after the end": WHOLE["ogg"] + bytes(99),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_only_looks_cut_is_heard_whole(tmp_path, case):
    path = kept(tmp_path, HARMLESS[case], "clip.wav")
    waveform = load_audio(path)
    assert 2 * RATE <= len(waveform) < 2 * RATE + 600 and len(waveform) == audio_info(path).frames
    assert np.corrcoef(waveform[: 2 * RATE], sound()[:, 0])[0, 1] > 0.9


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24"])
def test_an_odd_number_of_samples_needs_no_padding(tmp_path, subtype):
    whole = encoded(sound()[:-1], "wav", subtype=subtype)
    size = int.from_bytes(whole[whole.index(b"data") + 4 :][:4], "little")
    bare = whole[: whole.index(b"data") + 8 + size]
    assert size % 2 == 1 and len(load_audio(kept(tmp_path, bare))) == 2 * RATE - 1
