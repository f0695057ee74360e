"""Every figure of a report on evaluations made by hand, and the tables that show them."""

from dataclasses import replace

import numpy as np
import pytest
from handmade_evaluations import answers, clips, fixed

from cogrl.evaluate.metrics import differences, metrics
from cogrl.evaluate.report import control_notes, counts, formats_compared, sizes
from cogrl.evaluate.tables import percent, perception_table, reply_table, rubric
from cogrl.types import Clip

HEARD = lambda clip: clip.example.emotion
SAD = lambda clip: "sad"


def test_hearing_and_reading_are_the_ends_of_the_gap():
    m = metrics(fixed(clips(), HEARD, control=SAD))
    assert m["semantic_dominance_gap"]["mean"] == -1 and m["semantic_dominance_gap_transcript"]["mean"] == 1
    assert m["follow"]["mean"] == m["stay_silence"]["mean"] == 1
    assert m["semantic_dominance_gap"]["n"] == 12 * 21
    assert m["emotion_accuracy"]["mean"] == 1 and m["emotion_accuracy_shuffled"]["mean"] == pytest.approx(1 / 7)


def test_wa_counts_clips_and_ua_counts_emotions():
    unbalanced = clips(emotions=("sad",) * 9 + ("happy",))
    m = metrics(fixed(unbalanced, SAD))
    assert m["emotion_accuracy"]["mean"] == pytest.approx(0.9) and m["ua"]["mean"] == pytest.approx(0.5)


def test_swapped_labels_are_wrong_everywhere():
    swapped = {"anger": "happy", "happy": "anger"}
    m = metrics(fixed(clips(emotions=("anger", "happy")), lambda clip: swapped[clip.example.emotion]))
    assert m["emotion_accuracy"]["mean"] == m["ua"]["mean"] == m["reply_accuracy_direct"]["mean"] == 0
    assert m["semantic_dominance_gap"]["mean"] == 0


def test_conflict_and_consistent_clips_are_scored_apart():
    """Hearing the words instead of the voice: right where they agree, wrong where they do not."""
    found = clips(text="What a wonderful day!", emotions=("happy", "sad", "neutral"))
    m = metrics(fixed(found, lambda clip: "happy"))
    assert m["accuracy_conflict"]["mean"] == 0 and m["accuracy_consistent"]["mean"] == 1
    assert [m[f"accuracy_{part}"]["n"] for part in ("conflict", "consistent", "neither")] == [12, 12, 12]
    assert m["reply_accuracy_conflict_direct"]["mean"] == 0 and m["reply_accuracy_consistent_direct"]["mean"] == 1


def test_polar_clips_measure_conflict_and_nothing_else():
    """Words decide on the polar clips, in every control too; the voice does on the manifest."""
    polar = fixed(clips(2, 1, text="What a wonderful day!"), lambda clip: "happy")
    plain = fixed(clips(), HEARD, control=SAD)
    alone, both = metrics(plain), metrics(replace(plain, polar=polar))
    changed = {name for name in both if both[name] != alone[name]}
    assert changed == {name for name in both if any(part in name for part in ("conflict", "consistent", "neither"))}
    for of in ("", "_transcript", "_silence", "_shuffled"):
        assert both[f"reply_accuracy_conflict_direct{of}"]["mean"] == 0
        assert both[f"accuracy_conflict{of}"] == {"mean": 0, "low": 0, "high": 0, "n": 8}
        assert both[f"accuracy_consistent{of}"] == {"mean": 1, "low": 1, "high": 1, "n": 2}
    assert both["reply_accuracy_conflict_direct"]["mean"] == 0 and both["reply_accuracy_consistent_eips"]["mean"] == 1
    assert differences(plain, plain) == differences(plain, replace(plain, polar=polar))


def test_the_table_shows_the_polar_clips_beside_the_controls_that_read_them():
    polar = fixed(clips(2, 1, text="What a wonderful day!"), HEARD, control=lambda clip: "happy")
    evaluation = replace(fixed(clips(), HEARD, control=SAD), polar=polar)
    table = perception_table([evaluation], {"fixed": metrics(evaluation)})
    row = lambda *shares: " | ".join(f"{share} [{share}, {share}]" for share in shares)
    assert f"| fixed | the voice | {row('100.0', '100.0', '100.0', '100.0')} |" in table
    assert f"| fixed | text only | {row('14.3', '14.3', '0.0', '100.0')} |" in table
    assert sizes(evaluation) == {
        "clips": 84,
        "emotions": 7,
        "cells": 12,
        "contrasts": 252,
        "conflict": 8,
        "consistent": 2,
        "neither": 4,
    }
    assert "84 clips" in counts(evaluation) and "on 14 other clips with polar words: 8 clips conflict" in counts(
        evaluation
    )
    assert "no conflict accuracy" not in counts(evaluation)
    assert "on the 10 clips of both they reach at most 20.0 %" in control_notes(evaluation)
    assert "words alone lose" not in control_notes(replace(evaluation, polar=None))


def test_a_part_without_clips_says_so():
    evaluation = fixed(clips(), HEARD)
    m = metrics(evaluation)
    assert m["accuracy_conflict"] == {"mean": None, "low": None, "high": None, "n": 0}
    assert "| n = 0 |" in perception_table([evaluation], {"fixed": m}) and "no conflict accuracy" in counts(evaluation)
    assert sizes(evaluation) == {
        "clips": 84,
        "emotions": 7,
        "cells": 12,
        "contrasts": 252,
        "conflict": 0,
        "consistent": 0,
        "neither": 84,
    }


def test_intervals_resample_cells_and_not_clips():
    """Whole cells are right or wrong: taking every clip for independent evidence would shrink the interval."""
    evaluation = fixed(clips(speakers=4, sentences=5), lambda c: HEARD(c) if c.example.text_group < "t3" else None)
    once = metrics(evaluation)["emotion_accuracy"]
    copies = [replace(c.example, id=c.example.id + "b") for c in evaluation.clips for _ in range(8)]
    many = fixed(
        [Clip(e, np.zeros(1, np.float32)) for e in copies],
        lambda c: HEARD(c) if c.example.text_group < "t3" else None,
    )
    wide = once["high"] - once["low"]
    for name in ("emotion_accuracy", "ua", "follow"):
        m = metrics(many)[name]
        assert m["high"] - m["low"] == pytest.approx(wide, abs=0.02), name


def test_direct_is_measured_against_eips():
    half = lambda clip: HEARD(clip) if clip.example.text_group < "t2" else None
    evaluation = fixed(clips(), HEARD)
    evaluation = replace(
        evaluation, formats=evaluation.formats | {"direct": answers(evaluation.clips, HEARD, "direct", half)}
    )
    m = metrics(evaluation)
    assert m["direct_keeps_of_eips"]["mean"] == m["direct_keeps_of_eips_label"]["mean"] == 0.5
    assert m["direct_tokens_of_eips"]["mean"] == pytest.approx(0.3)
    assert "keeps 50.0" in formats_compared({"fixed": m})
    row = reply_table([evaluation], {"fixed": m}).splitlines()[3]
    assert row.startswith("| fixed | the voice | direct | - | 50.0 [") and row.endswith("| 21 [21, 21] |")


def test_replies_are_measured_in_the_controls_of_both_formats():
    sad_or_silent = lambda clip: "sad" if clip.example.text_group < "t2" else None
    evaluation = fixed(clips(), HEARD)
    silent = {
        "eips": answers(evaluation.clips, SAD, "eips"),
        "direct": replace(answers(evaluation.clips, sad_or_silent, "direct"), reward=np.full(84, 0.25)),
    }
    evaluation = replace(evaluation, controls=evaluation.controls | {"silence": silent})
    m = metrics(evaluation)
    means = {name: m[name]["mean"] for name in ("reply_accuracy_eips_silence", "reply_accuracy_direct_silence")}
    assert means == pytest.approx({"reply_accuracy_eips_silence": 1 / 7, "reply_accuracy_direct_silence": 1 / 14})
    assert (
        m["reward_direct_silence"]["mean"] == 0.25
        and m["reward_eips_silence"]["mean"] == m["reward_direct"]["mean"] == 0
    )
    assert m["reply_accuracy_direct_shuffled"]["mean"] == m["reply_accuracy_direct"]["mean"] == 1
    assert m["gap_reply_eips_silence"]["mean"] == 1 and m["gap_reply_eips"]["mean"] == -1
    rows = [row.split(" | ") for row in reply_table([evaluation], {"fixed": m}).splitlines()[2:]]
    assert [row[1:3] for row in rows] == [
        [hears, format]
        for hears in ("the voice", "text only", "silence", "shuffled audio")
        for format in ("eips", "direct")
    ]
    assert [row[3].split()[0] for row in rows] == ["100.0", "-", "100.0", "-", "14.3", "-", "100.0", "-"]
    assert [row[4].split()[0] for row in rows] == ["100.0"] * 4 + ["14.3", "7.1"] + ["100.0"] * 2


def test_a_ratio_to_nothing_is_no_figure():
    m = metrics(fixed(clips(), lambda clip: None))
    assert m["direct_keeps_of_eips"]["mean"] is None and formats_compared({"fixed": m}) == ""


def test_a_failed_reward_is_left_out_and_counted():
    evaluation = fixed(clips(), HEARD)
    reward = np.ones(84)
    reward[:10] = np.nan
    failed = replace(
        evaluation, formats=evaluation.formats | {"eips": replace(evaluation.formats["eips"], reward=reward)}
    )
    assert metrics(failed)["reward_eips"]["mean"] == 1 and metrics(failed)["reward_eips"]["n"] == 74
    assert differences(evaluation, failed)["reward_eips"]["n"] == 74


def test_differences_are_after_minus_before():
    before, after = fixed(clips(), SAD, "before"), fixed(clips(), HEARD, "after")
    d = differences(before, after)
    assert d["emotion_accuracy"]["mean"] == pytest.approx(6 / 7) and d["semantic_dominance_gap"]["mean"] == -2
    assert differences(after, after)["reply_accuracy_direct"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 84}


def test_epitome_levels_are_compared_over_cells():
    found = clips(speakers=4, sentences=5)
    low = replace(fixed(found, SAD), levels={"ER": {r: np.zeros(140) for r in ("eips", "direct")}})
    high = replace(low, levels={"ER": {"eips": np.full(140, 2.0), "direct": np.zeros(140)}})
    d = differences(low, high)
    assert d["ER_eips"]["mean"] == 2 and 1e-6 < d["ER_eips"]["p_signed_rank"] < 1e-5  # 20 cells, not 140 clips
    assert d["ER_direct"]["p_signed_rank"] == 1
    assert "| ER, 0-2 |" in reply_table([high], {"fixed": metrics(high)})


def test_controls_stand_in_the_table_of_the_policy():
    evaluation = fixed(clips(), HEARD, control=SAD)
    table = perception_table([evaluation], {"fixed": metrics(evaluation)})
    for name in ("text only", "silence", "shuffled audio"):
        assert f"| fixed | {name} | 14.3 [14.3, 14.3] | 14.3 [14.3, 14.3] |" in table
    assert "| fixed | the voice | 100.0 [100.0, 100.0] |" in table


def test_rows_of_a_table_have_the_cells_of_its_head():
    evaluation = fixed(clips(), HEARD, control=lambda clip: None)
    for table in (perception_table, reply_table):
        lines = table([evaluation], {"fixed": metrics(evaluation)}).splitlines()
        assert len({line.count("|") for line in lines}) == 1


def test_figures_are_shown_on_their_scale():
    assert percent({"mean": 0.5, "low": 0.25, "high": 0.75, "n": 4}) == "50.0 [25.0, 75.0]"
    assert percent({"mean": 0.5, "low": None, "high": None, "n": 4}) == "50.0"
    assert rubric({"mean": 1.0, "low": 0.0, "high": None, "n": 3}) == {"mean": 4.0, "low": 1.0, "high": None, "n": 3}
