"""Files that are no clip, or none that can be decoded here: named by their content, with the way out."""

import gzip
import io
import json
import os
import shlex
import zipfile

import numpy as np
import pytest
import surgery
from surgery import encoded, sound

from cogrl.audio import audio_info, load_audio

WAV = encoded(sound(0.5), "wav")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("clip.wav", WAV)
    return file.getvalue()


def saved_array() -> bytes:
    file = io.BytesIO()
    np.save(file, sound(0.1))
    return file.getvalue()


def box(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


FOREIGN = {
    "MPEG-4 audio (m4a)": box(b"ftyp", b"M4A \x00\x00\x02\x00isom") + box(b"mdat", bytes(999)),
    "an MPEG-4 file (mp4)": box(b"ftyp", b"isom\x00\x00\x02\x00isom") + box(b"mdat", bytes(999)),
    "a QuickTime film (mov)": box(b"ftyp", b"qt  \x00\x00\x02\x00qt  "),
    "a 3GPP recording (3gp)": box(b"ftyp", b"3gp4\x00\x00\x02\x00"),
    "a Matroska or WebM file (mkv, webm)": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01" + bytes(99),
    "Windows Media (wma, wmv)": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    "AMR speech (amr)": b"#!AMR\n" + b"\x3c" * 99,
    "AAC audio (aac)": b"\xff\xf1\x50\x80\x2e\x7f\xfc" + bytes(range(250)),
    "an AVI film (avi)": b"RIFF\x00\x10\x00\x00AVI LIST",
    "Speex speech (spx)": b"OggS\x00\x02" + bytes(20) + b"\x01\x50Speex   1.2" + bytes(60),
}
OTHERS = {
    "an HTML page": (b"\n<!DOCTYPE html><html><body>404 Not Found</body></html>", "get the clip again from where"),
    "an XML message": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "get the clip again"),
    "a JSON message": (b'{"error": "Repository Not Found"}', "get the clip again from where it comes from"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "git lfs pull"),
    "a pointer of git-annex": (b"/annex/objects/SHA256E-s31390--f50d7ac4c6.wav\n", "git annex get"),
    "an empty file": (b"", "get the clip again from where it comes from"),
    "nothing but zero bytes": (bytes(4096), "a download leaves that was broken off"),
    "a zip archive": (zipped(), "unpack it, and name the audio file inside"),
    "a gzip file": (gzip.compress(WAV), "unpack it"),
    "a NumPy array": (saved_array(), "soundfile.write"),
    "a picture (jpeg)": (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)), "correct the path in the manifest"),
    "a text": (b"clip_0001 hello there\n" * 9, "clip_0001 hello there"),
}


def error_message(path) -> str:
    said = set()
    for open_it in (audio_info, load_audio):
        with pytest.raises(ValueError) as caught:
            open_it(path, name="train.jsonl:7 (c07)")
        said.add(str(caught.value))
    (message,) = said
    assert message.startswith(f"train.jsonl:7 (c07): {path}: cannot be decoded (") and "\n" not in message
    return message


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "raw"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_format_nobody_here_decodes_is_named_with_the_command_that_makes_it_readable(tmp_path, kind, suffix):
    path = tmp_path / f"my 'clip'.{suffix}"
    path.write_bytes(FOREIGN[kind])
    message = error_message(path)
    assert f"seems to be {kind}; convert it: ffmpeg -i " in message
    command = shlex.split(message.partition("convert it: ")[2])
    assert command[:3] == ["ffmpeg", "-i", str(path)] and command[3:7] == ["-ac", "1", "-ar", "16000"]
    assert command[7].endswith(".flac") and command[7] != str(path)


def test_aac_behind_a_tag_is_no_mp3(tmp_path):
    path = tmp_path / "clip.mp3"
    path.write_bytes(surgery.id3(700) + FOREIGN["AAC audio (aac)"])
    assert "seems to be AAC audio (aac); convert it: ffmpeg" in error_message(path)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_audio_is_named_with_what_to_do_instead_and_no_conversion(tmp_path, kind):
    content, remedy = OTHERS[kind]
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    message = error_message(path)
    assert f"({len(content)} bytes): seems to be {kind}" in message and remedy in message and "ffmpeg" not in message


def test_what_a_server_said_instead_of_a_clip_is_quoted(tmp_path):
    path = tmp_path / "clip.mp3"
    path.write_bytes(json.dumps({"error": "Repository Not Found"}).encode())
    assert '\'{"error": "Repository Not Found"}\'' in error_message(path)


def test_noise_is_refused_with_the_reason_of_the_library(tmp_path):
    path = tmp_path / "clip.flac"
    path.write_bytes(b"RIFF" + bytes(range(256)))
    assert "what plays elsewhere is readable after: ffmpeg" in error_message(path)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "aiff"])
@pytest.mark.parametrize("suffix", ["raw", "vox", "gsm", "mp3", "wav", "txt", ""])
def test_a_suffix_decides_nothing(tmp_path, name, suffix):
    path = tmp_path / f"clip.{suffix}"
    path.write_bytes(encoded(sound(0.5), name))
    assert len(load_audio(path)) == audio_info(path).frames == 8000


@pytest.mark.parametrize("name", ["it's.wav", 'a "b" $c;d.wav', "-i.wav", "two:dots.wav", "語 é.wav", "new\nline.wav"])
def test_any_name_is_opened_and_named_in_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = type(tmp_path)(name)
    path.write_bytes(WAV)
    assert len(load_audio(path)) == 8000
    path.write_bytes(FOREIGN["AMR speech (amr)"])
    with pytest.raises(ValueError) as caught:
        load_audio(path)
    said, _, command = str(caught.value).partition("convert it: ")
    assert "\n" not in said and shlex.split(command)[2] == f"./{name}"


def no_file(folder):
    return folder / "no.wav"


def a_folder(folder):
    (folder / "dir.wav").mkdir()
    return folder / "dir.wav"


def a_loop(folder):
    (folder / "one.wav").symlink_to(folder / "two.wav")
    (folder / "two.wav").symlink_to(folder / "one.wav")
    return folder / "one.wav"


def a_dead_link(folder):
    (folder / "link.wav").symlink_to("../objects/4d7a")
    return folder / "link.wav"


def below_a_file(folder):
    (folder / "file").write_bytes(b"x")
    return folder / "file" / "clip.wav"


def a_long_name(folder):
    return folder / ("x" * 300 + ".wav")


def a_null(folder):
    return folder / "a\0b.wav"


def a_pipe(folder):
    os.mkfifo(folder / "pipe.wav")
    return folder / "pipe.wav"


@pytest.mark.parametrize(
    "make",
    [no_file, a_folder, a_loop, a_dead_link, below_a_file, a_long_name, a_null, a_pipe],
    ids=lambda f: f.__name__,
)
def test_what_is_no_file_at_all_is_refused_at_once_by_name(tmp_path, make):
    path = make(tmp_path)
    for open_it in (audio_info, load_audio):
        with pytest.raises(FileNotFoundError, match=r"^c07: .*no such audio file"):
            open_it(path, name="c07")


def test_a_dead_link_says_where_it_leads(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"it is a link to \.\./objects/4d7a"):
        audio_info(a_dead_link(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(WAV)
    path.chmod(0)
    with pytest.raises(PermissionError, match=r"c07: .*clip.wav: cannot be opened \(Permission denied\)"):
        load_audio(path, name="c07")
