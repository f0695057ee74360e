"""What all synthesisers share: placeholders, decoding; and the embedded one, in processes of its own."""

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import tone_speaker

from cogrl.data.synthesis import acoustics
from cogrl.data.synthesis.command import CommandSynthesiser
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
from cogrl.data.synthesis.expressive import Line, Synthesiser, check_places, decoded, filled, values_of
from cogrl.data.synthesis.service import ServiceSynthesiser

LINE = Line("They told me about the exam this morning.", "sad", "high", "spk02", seed=7)


def file_of(samples, rate=16000, kind="WAV", subtype="FLOAT"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def test_placeholders_are_filled_once_and_what_a_text_holds_stays_text():
    evil = replace(LINE, text='{speaker} "$(rm -rf /)" {nobody}')
    body = {
        "input": "say {text}",
        "all": "{text}",
        "style": ["{intensity} {emotion}", {"voice": "{speaker}"}],
        "seed": "{seed}",
        "n": 3,
    }
    made = filled(body, values_of(evil))
    style = ["high sad", {"voice": "spk02"}]
    assert made == {"input": f"say {evil.text}", "all": evil.text, "style": style, "seed": 7, "n": 3}


def test_a_template_that_can_not_work_is_refused_before_it_is_used():
    with pytest.raises(ValueError, match=r"argv holds the unknown placeholder \{emotoin\}; known: text, emotion"):
        check_places(["say", "{text}", "{emotoin}"], ("text", "emotion"), (), "argv")
    with pytest.raises(ValueError, match=r"body has no place for \{speaker\}"):
        check_places({"a": ["{text}", 3, None]}, ("text", "speaker"), ("text", "speaker"), "body")


def test_audio_of_any_kind_is_decoded_at_its_own_rate_and_channels_are_averaged():
    left, right = np.full(800, 0.5, np.float32), np.full(800, -0.1, np.float32)
    for kind, subtype in (("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("WAV", "PCM_16")):
        speech = decoded(file_of(np.stack([left, right], 1), 22050, kind, subtype), "x")
        assert speech.sampling_rate == 22050 and speech.waveform.shape == (800,)
        np.testing.assert_allclose(speech.waveform, 0.2, atol=1e-4)


def test_what_is_no_sound_audio_is_refused_with_the_reason():
    whole = tone_speaker.spoken("hello there", "sad", "low", "a")
    nan = np.zeros(100, np.float32)
    nan[3] = np.nan
    for content, reason in (
        (whole[: len(whole) // 2], "is cut"),
        (tone_speaker.wav([]), "no samples"),
        (b"<html>busy</html>", "HTML page.*busy.*no audio"),
        (b"", "no audio"),
        (file_of(nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=f"the voice: .*{reason}"):
            decoded(content, "the voice")


def test_a_file_written_to_a_pipe_declares_no_length_and_is_read():
    whole = tone_speaker.spoken("hello there", "sad", "low", "a")
    for declared in (0, 2**32 - 1):
        piped = whole[:4] + declared.to_bytes(4, "little") + whole[8:]
        assert len(decoded(piped, "x").waveform) == len(decoded(whole, "x").waveform)


def test_three_synthesisers_have_one_interface():
    speech = {"speakers": ["a"], "licence": "CC0"}
    command = CommandSynthesiser(["say", "{text}", "{emotion}", "{speaker}", "{out}"], **speech)
    for one in (EmbeddedSynthesiser("numpy"), command, ServiceSynthesiser("http://127.0.0.1:9", **speech)):
        assert isinstance(one, Synthesiser) and one.version and one.origin and one.licence and one.speakers


def test_the_embedded_voice_depends_on_the_line_alone_and_on_all_of_it():
    voice = EmbeddedSynthesiser("numpy")
    first = voice.say(LINE)
    assert voice.say(LINE).waveform.tobytes() == first.waveform.tobytes() and first.sampling_rate == 16000
    others = [replace(LINE, **change) for change in ({"emotion": "fear"}, {"intensity": "low"}, {"seed": 8})]
    others += [replace(LINE, speaker="spk03"), replace(LINE, text="They told me about the ring this morning.")]
    assert len({voice.say(line).waveform.tobytes() for line in (LINE, *others)}) == 6
    assert first.facts["level_db"] < -3 and first.facts["rate"] < 0.9  # sad and high: quiet and slow


def test_a_strong_emotion_is_measured_stronger_than_a_weak_one():
    def level(emotion, intensity):
        lines = [Line(LINE.text, emotion, intensity, "spk02", seed=seed) for seed in range(4)]
        return np.mean([acoustics.measure(EmbeddedSynthesiser("numpy").say(x).waveform, 16000).level_db for x in lines])

    assert level("anger", "high") > level("anger", "low") > level("neutral", "mid") > level("sad", "high")


def test_the_embedded_voice_speaks_english_only_and_says_so_before_any_work():
    EmbeddedSynthesiser("numpy").check("en")
    with pytest.raises(ValueError, match="speaks English, not 'zh'; name another synthesiser"):
        EmbeddedSynthesiser("numpy").check("zh")


WORKER = """
import os, time
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
if __name__ == "__main__":
    pool = EmbeddedSynthesiser("numpy").pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def test_workers_do_not_outlive_a_build_that_was_killed(tmp_path):
    script = tmp_path / "build.py"
    script.write_text(WORKER)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < end:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{worker}")
