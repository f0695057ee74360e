import numpy as np
import pytest
import soundfile

from cogrl.audio import audio_info, load_audio, to_samples, to_seconds, write_flac

RATE = 16000


def tone(seconds: float = 0.5, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def cut_in_half(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def with_nan():
    return np.concatenate([tone(), np.array([np.nan], np.float32)])


def with_infinity():
    return np.concatenate([tone(), np.array([np.inf], np.float32)])


REFUSALS = {
    "missing": (lambda path: None, FileNotFoundError, "no such audio file"),
    "zero bytes": (lambda path: path.write_bytes(b""), ValueError, "cannot be decoded"),
    "garbage": (lambda path: path.write_bytes(b"RIFF" + bytes(range(256))), ValueError, "cannot be decoded"),
    "header only": (lambda path: soundfile.write(path, np.zeros(0), RATE), ValueError, "holds no samples"),
    "nan": (lambda path: soundfile.write(path, with_nan(), RATE, subtype="FLOAT"), ValueError, "NaN"),
    "infinity": (lambda path: soundfile.write(path, with_infinity(), RATE, subtype="FLOAT"), ValueError, "infinite"),
    "blip": (lambda path: soundfile.write(path, tone(0.015), RATE), ValueError, "less than 20 ms"),
    "too long": (lambda path: soundfile.write(path, tone(2.1), RATE), ValueError, "limit is 2 s"),
    "stereo": (lambda path: soundfile.write(path, np.stack([tone()] * 2, 1), RATE), ValueError, "2 channels"),
    "44.1 kHz": (lambda path: soundfile.write(path, tone(rate=44100), 44100), ValueError, "44100 Hz"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_bad_file_is_refused_with_its_name_and_path(tmp_path, case):
    make, kind, reason = REFUSALS[case]
    path = tmp_path / "clip.wav"
    make(path)
    with pytest.raises(kind, match=reason) as caught:
        load_audio(path, max_s=2.0, name="train.jsonl:7 (c07)")
    assert str(path) in str(caught.value) and "train.jsonl:7 (c07)" in str(caught.value)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_truncated_file_is_refused_although_its_header_is_sound(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, tone(1.0), RATE)
    cut_in_half(path)
    with pytest.raises(ValueError, match=r"truncated|damaged|cannot be decoded"):
        load_audio(path, expected_s=1.0, name="c01")


def test_the_manifest_duration_has_five_percent_and_twenty_milliseconds_of_slack(tmp_path):
    path = tmp_path / "clip.flac"
    write_flac(path, tone(1.0), RATE)
    for allowed in (0.94, 1.0, 1.07):
        load_audio(path, expected_s=allowed)
    for wrong in (0.92, 1.08, 2.0):
        with pytest.raises(ValueError, match="the manifest says"):
            load_audio(path, expected_s=wrong)


def test_a_clip_exactly_at_the_limit_is_heard_whole(tmp_path):
    path = tmp_path / "clip.flac"
    write_flac(path, tone(2.0), RATE)
    assert len(load_audio(path, max_s=2.0)) == 2 * RATE


def test_flac_gives_back_the_samples_to_sixteen_bits(tmp_path):
    path = tmp_path / "clip.flac"
    write_flac(path, tone(), RATE)
    loaded = load_audio(path)
    assert loaded.dtype == np.float32 and loaded.ndim == 1
    np.testing.assert_allclose(loaded, tone(), atol=2 / 32768)
    assert audio_info(path).duration_s == 0.5


def test_conversion_mixes_channels_and_keeps_the_pitch(tmp_path):
    path = tmp_path / "clip.wav"
    left, right = tone(1.0, 440, 44100), tone(1.0, 1760, 44100)
    soundfile.write(path, np.stack([left, right], 1), 44100, subtype="FLOAT")
    waveform = load_audio(path, convert=True)
    assert abs(len(waveform) - RATE) <= 1
    spectrum = np.abs(np.fft.rfft(waveform[:RATE])) / (RATE / 2)
    assert sorted(np.argsort(spectrum)[-2:]) == [440, 1760]
    np.testing.assert_allclose(spectrum[[440, 1760]], 0.15, atol=0.005)


@pytest.mark.parametrize("bad", [np.full(99, 1.5), np.full(99, np.nan), np.zeros((99, 2))])
def test_samples_that_flac_would_change_are_not_written(tmp_path, bad):
    with pytest.raises(ValueError, match="finite mono samples"):
        write_flac(tmp_path / "clip.flac", bad.astype(np.float32), RATE)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "clip.flac"
    write_flac(path, tone(), RATE)
    before = path.read_bytes()
    with pytest.raises(soundfile.LibsndfileError):
        write_flac(path, tone(), -1)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_seconds_and_samples_are_inverse_on_the_sample_grid():
    for samples in (0, 1, 15999, 16001, 7):
        assert to_samples(to_seconds(samples, RATE), RATE) == samples
    assert to_samples(0.02 + 1e-9, RATE) == 320


def test_written_files_have_the_permissions_of_ordinary_files(tmp_path):
    (tmp_path / "plain").write_text("")
    write_flac(tmp_path / "clip.flac", tone(), RATE)
    assert (tmp_path / "clip.flac").stat().st_mode == (tmp_path / "plain").stat().st_mode


def peak(height: float) -> np.ndarray:
    return (tone() * height / 0.3).astype(np.float32)


@pytest.mark.parametrize("height", [1.0, 1.5, 3.9])
def test_the_overshoot_of_a_mix_is_heard_as_it_is(tmp_path, height):
    path = tmp_path / "clip.wav"
    soundfile.write(path, peak(height), RATE, subtype="FLOAT")
    assert np.abs(load_audio(path)).max() == pytest.approx(height, rel=0.01)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("height", [4.2, 127, 9830, 32767])
def test_samples_far_off_the_scale_are_refused_with_their_peak(tmp_path, subtype, height):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.round(peak(height), 1), RATE, subtype=subtype)
    with pytest.raises(ValueError, match=rf"c07: .*clip.wav: peaks at {height:g}.*, sound lies in \[-1, 1\]"):
        load_audio(path, name="c07")


def test_one_channel_off_the_scale_is_noticed_whatever_the_other_does_to_the_mix(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.stack([peak(900), -peak(899)], 1), RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="peaks at 900"):
        load_audio(path, convert=True, silent_clips="keep")


NOTHING_TO_HEAR = {
    "zeros": np.zeros(8000),
    "a constant": np.full(8000, 0.25),
    "one step of 16 bits": np.sign(np.sin(np.arange(8000))) * 2.0**-15,
    "integers of 16 bits in one of 32": np.round(tone() * 32767) / 2**31,
}


@pytest.mark.parametrize("kind", NOTHING_TO_HEAR)
def test_a_silent_clip_is_refused_unless_it_may_stay(tmp_path, kind):
    path = tmp_path / "clip.wav"
    soundfile.write(path, NOTHING_TO_HEAR[kind], RATE, subtype="PCM_32")
    with pytest.raises(ValueError, match=r"c07: .*is silent.*data\.silent_clips: keep .*--silent-clips keep"):
        load_audio(path, name="c07")
    assert len(load_audio(path, silent_clips="keep")) == 8000


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg"])
def test_channels_in_opposite_phase_are_refused_and_not_heard_as_silence(tmp_path, name):
    path = tmp_path / f"clip.{name}"
    soundfile.write(path, np.stack([tone(), -0.999 * tone()], 1), RATE)
    with pytest.raises(ValueError, match=r"c07: .*mixes to silence, its 2 channels cancel each other out"):
        load_audio(path, name="c07", convert=True)
    assert np.abs(load_audio(path, convert=True, silent_clips="keep")).max() < 0.01


def test_quiet_speech_an_offset_and_a_silent_channel_are_heard(tmp_path):
    path = tmp_path / "clip.wav"
    for samples in (tone() / 1000, tone() / 10 + 0.3, np.stack([tone(), 0 * tone()], 1)):
        soundfile.write(path, samples, RATE, subtype="PCM_24")
        assert load_audio(path, convert=True).std() > 1e-4


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 2), (44100, 1), (8000, 1)])
def test_another_form_is_refused_with_the_settings_that_allow_it_and_the_command_that_changes_it(
    tmp_path, rate, channels
):
    path = tmp_path / "my clip.wav"
    soundfile.write(path, np.stack([tone(rate=rate)] * channels, 1), rate)
    with pytest.raises(ValueError) as caught:
        load_audio(path)
    assert "data.convert: true (cogrl evaluate: --convert)" in str(caught.value)
    assert f"ffmpeg -i '{path}' -ac 1 -ar 16000 '{path.with_suffix('.flac')}'" in str(caught.value)
    assert len(load_audio(path, convert=True)) == 8000


def test_a_file_that_is_too_long_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "clip.flac"
    soundfile.write(path, tone(5.0), RATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        load_audio(path)
    with pytest.raises(ValueError, match=r"lasts 5.00 s, the limit is 4 s"):
        load_audio(path, max_s=4.0)
