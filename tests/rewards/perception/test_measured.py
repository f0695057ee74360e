"""Measurements of clips whose turns, pitch, level and noise are known, and what they say about claims."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from traces import EXAMPLE, answered
from voices import GAP_S, HZ, RATE, clip, turn

from cogrl.rewards.perception import PerceptualConsistency, Reference, checked_claims
from cogrl.rewards.perception.evidence import FirstKnown
from cogrl.rewards.perception.measure import measure
from cogrl.rewards.perception.measure.turns import voices_of
from cogrl.rewards.perception.measured import Measured
from cogrl.types import Clip


def with_clip(waveform, example=EXAMPLE, **changed):
    """The answer to a clip with this waveform."""
    return replace(answered(example=example, **changed), clip=Clip(example, waveform))


def statuses(measured, waveform, **changed):
    (checked,) = checked_claims([with_clip(waveform, **changed)], measured)
    return {str(claim): status for claim, status in checked.of()}


@pytest.mark.parametrize("names", [("low",), ("low", "high"), ("high", "low", "middle"), ("middle", "high", "middle")])
@pytest.mark.parametrize("snr_db", [40.0, 20.0, 10.0])
def test_turns_voices_and_snr_are_measured_as_they_were_made(names, snr_db):
    parts = [turn(name) for name in names]
    found = measure(clip(*parts, snr_db=snr_db), RATE)
    assert len(found.turns) == len(names)
    start_s = GAP_S
    for one, name, part in zip(found.turns, names, parts, strict=True):
        assert one.start_s == pytest.approx(start_s, abs=0.06) and one.end_s == pytest.approx(
            start_s + len(part) / RATE, abs=0.06
        )
        assert abs(12 * np.log2(one.f0_hz / HZ[name])) < 0.7
        start_s += len(part) / RATE + GAP_S
    assert [
        round(12 * np.log2(hz / HZ[name]))
        for hz, name in zip(found.voices_hz, sorted(set(names), key=HZ.get), strict=True)
    ] == [0] * len(set(names))
    assert found.snr_db == pytest.approx(snr_db, abs=1.5)


def test_level_and_tempo_follow_what_is_said():
    quiet, loud = (measure(clip(turn("low", level=level)), RATE) for level in (0.02, 0.2))
    assert loud.level_db - quiet.level_db == pytest.approx(20.0, abs=0.1)
    assert loud.turns[0].level_db - quiet.turns[0].level_db == pytest.approx(20.0, abs=0.1)
    assert quiet.tempo_hz == pytest.approx(5.0, rel=0.25), "a syllable of the voice lasts 0.2 s"


@pytest.mark.parametrize(
    "waveform", [np.zeros(9), np.zeros(1600), np.zeros(RATE), np.random.default_rng(0).normal(size=RATE) * 0.1]
)
def test_silence_noise_and_scraps_have_no_voices(waveform):
    found = measure(waveform.astype(np.float32), RATE)
    assert found.voices_hz is None
    assert Measured().facts_of(found).known == {}


def test_a_count_is_right_wrong_or_off_by_one():
    waveform = clip(turn("low"), turn("high"))
    status = lambda said: statuses(Measured(), waveform, speaker=f"{said}: low, high")
    assert status(2)["2"] == "supported"
    assert status(3)["3"] == status(1)["1"] == "unverifiable"
    assert status(4)["4"] == "contradicted"
    assert status(2)["low"] == status(2)["rain"] == status(2)["low: kettle"] == "unverifiable"


def test_names_and_ranks_are_known_where_voices_have_a_pitch():
    measured, waveform = Measured(HZ), clip(turn("low", level=0.05), turn("high", level=0.2))
    found = statuses(measured, waveform, description="low is first, high is loudest, low is last, high is fastest")
    assert [found[name] for name in ("2", "low", "high", "low is first", "high is loudest")] == ["supported"] * 5
    assert found["low is last"] == "contradicted" and found["high is fastest"] == "unverifiable"
    assert PerceptualConsistency("speaker", measured).values([with_clip(waveform)]) == [1.0]
    assert PerceptualConsistency("speaker", measured).values([with_clip(waveform, speaker="2: high, low")]) == [2 / 3]
    assert PerceptualConsistency("asr", measured).values([with_clip(waveform)]) == [None]
    alike = clip(turn("low", level=0.1), turn("high", level=0.1))
    assert statuses(measured, alike, description="low is loudest")["low is loudest"] == "unverifiable"


def test_nothing_is_known_where_the_noise_is_loud_or_voices_are_near_each_other():
    loud = clip(turn("low"), turn("high"), snr_db=0.0)
    assert set(statuses(Measured(), loud).values()) == {"unverifiable"}
    between = measure(clip(turn("low"), turn("high")), RATE)
    assert between.voices_hz is not None
    first, second = between.turns
    near = replace(between, turns=(first, replace(second, f0_hz=first.f0_hz * 2 ** (3 / 12))))
    assert voices_of(near.turns) is None
    assert voices_of((first, replace(second, f0_hz=first.f0_hz * 2 ** (2 / 12)))) is not None
    assert voices_of((first, replace(second, width_st=7.0))) is None, "two voices in one turn"


def test_what_is_measured_is_kept_by_content(monkeypatch):
    calls = []
    monkeypatch.setattr("cogrl.rewards.perception.measured.measure", lambda *args: calls.append(1) or measure(*args))
    measured, waveform = Measured(kept=2), clip(turn("low"))
    batch = [with_clip(waveform), with_clip(waveform), with_clip(waveform.copy())]
    measured.facts(batch)
    assert len(calls) == 1
    changed = waveform.copy()
    changed[100] += 0.01
    measured.facts([with_clip(changed)])
    assert len(calls) == 2
    measured.facts([with_clip(-waveform), with_clip(waveform)])
    assert len(calls) == 4, "of three clips only two are kept"


def test_equal_evidence_of_several_terms_measures_a_clip_once(monkeypatch):
    calls = []
    monkeypatch.setattr("cogrl.rewards.perception.measured.measure", lambda *args: calls.append(1) or measure(*args))
    terms = [PerceptualConsistency("speaker", FirstKnown((Reference(), Measured(dict(HZ))))) for _ in range(3)]
    answers = [with_clip(clip(turn("low"), turn("high")))]
    assert [term.values(answers) for term in terms] == [[1.0]] * 3 and len(calls) == 1
    assert Measured(HZ) != Measured() and Measured() != Reference()


def test_the_gold_of_a_line_counts_before_the_measurement():
    waveform = clip(turn("low"))
    both = FirstKnown((Reference(), Measured()))
    assert statuses(both, waveform)["2"] == "supported"
    bare = replace(EXAMPLE, speech=())
    (checked,) = checked_claims([with_clip(waveform, bare)], both)
    assert dict((str(claim), status) for claim, status in checked.of("speaker"))["2"] == "unverifiable", (
        "one voice is measured"
    )


def test_lines_are_refused_for_sections_that_can_not_be_measured():
    for section in ("asr", "environment", "answer", "description"):
        assert "can not be measured" in PerceptualConsistency(section, Measured()).validate(EXAMPLE)
    assert PerceptualConsistency("description", Measured(HZ)).validate(EXAMPLE) is None
    assert PerceptualConsistency("asr", FirstKnown((Reference(), Measured()))).validate(EXAMPLE) is None
    bare = replace(EXAMPLE, speech=())
    reason = PerceptualConsistency("asr", FirstKnown((Reference(), Measured()))).validate(bare)
    assert "no speech" in reason and "can not be measured" in reason


def test_an_evaluation_has_its_file_read_and_a_missing_one_is_an_error(tmp_path):
    example = replace(EXAMPLE, audio=tmp_path / "two.wav")
    soundfile.write(example.audio, clip(turn("low"), turn("high")), RATE)
    gone = replace(EXAMPLE, audio=tmp_path / "gone.wav")
    found = Measured().facts([answered(example=example), answered(example=gone)])
    assert found[0].known["count"][0].value == "2" and isinstance(found[1], FileNotFoundError)


@pytest.mark.parametrize("voices", [{"low": 100.0, "high": 110.0}, {"low": 0.0}, {"low": -5.0, "high": 100.0}])
def test_voices_that_can_not_be_told_apart_are_refused(voices):
    with pytest.raises(ValueError, match="semitones apart"):
        Measured(voices)
