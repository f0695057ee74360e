"""Sound files as programs write them, and what goes wrong with them, byte by byte."""

import io

import numpy as np
import soundfile

RATE = 16_000
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "wavex": ("WAVEX", "PCM_24"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}


def sound(seconds: float = 2.0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """A tone in a little noise, (n, channels)."""
    samples = round(seconds * rate)
    noise = np.random.default_rng(0).standard_normal(samples) / 100
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate)
    return np.stack([tone + noise] * channels, 1).astype(np.float32)


def encoded(samples: np.ndarray, name: str, rate: int = RATE, subtype: str | None = None) -> bytes:
    """The bytes of a file of one of `FORMATS`."""
    format, usual = FORMATS[name]
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype or usual)
    return file.getvalue()


def with_data_size(wav: bytes, size: int) -> bytes:
    """A WAV whose data chunk says that it holds `size` bytes."""
    place = wav.index(b"data") + 4
    return wav[:place] + size.to_bytes(4, "little") + wav[place + 4 :]


def with_flac_samples(flac: bytes, samples: int) -> bytes:
    """A FLAC whose stream information says that it holds `samples`; 0: unknown, as a program writes to a pipe."""
    packed = int.from_bytes(flac[18:26], "big") >> 36 << 36 | samples
    return flac[:18] + packed.to_bytes(8, "big") + flac[26:]


def with_xing_frames(mp3: bytes, frames: int) -> bytes:
    """An MP3 whose Xing header counts so many frames."""
    place = mp3.index(b"Xing") + 8
    return mp3[:place] + frames.to_bytes(4, "big") + mp3[place + 4 :]


def xing_frames(mp3: bytes) -> int:
    place = mp3.index(b"Xing") + 8
    return int.from_bytes(mp3[place : place + 4], "big")


def without_xing(mp3: bytes) -> bytes:
    """An MP3 of MPEG 2 layer III, as this library writes one, that begins with sound."""
    bit_rates = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    size = 72_000 * bit_rates[mp3[2] >> 4] // RATE + (mp3[2] >> 1 & 1)
    return mp3[size:]


def ogg_pages(ogg: bytes) -> list[bytes]:
    pages, place = [], 0
    while place < len(ogg):
        segments = ogg[place + 26]
        size = 27 + segments + sum(ogg[place + 27 : place + 27 + segments])
        pages.append(ogg[place : place + size])
        place += size
    return pages


def id3(size: int) -> bytes:
    """An ID3v2 tag with a picture of `size` bytes, which look like the heads of frames."""
    length = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + length + (b"\xff\xfb\x90\x00" * (size // 4 + 1))[:size]
