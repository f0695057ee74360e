"""Figures over seeds, from answers whose figures are known by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from cogrl.evaluate.seed_tables import COLUMNS, by_condition, stage_rows
from cogrl.evaluate.seeds import VALUES, Answered, over_seeds, ratio_over_seeds, read_seeds


def record(n: int, perceived: str | None = "happy", **changes) -> dict:
    """Clip `n`, spoken happily: two clips a cell. In each control the replies answer what is perceived, for nothing."""
    labels = {"transcript": "sad", "silence": None, "shuffled": "happy"}
    nothing = {"eips": 0.0, "direct": 0.0}
    return {
        "policy": "p",
        "id": f"c{n}",
        "cell": f"s{n // 2}/t0",
        "emotion": "happy",
        "part": "conflict" if n % 2 else "neither",
        "perceived": perceived,
        "in_control": {
            name: {
                "perceived": label,
                "replied": {"eips": label, "direct": label},
                "tokens": {"eips": 60, "direct": 20},
                "reward": nothing,
                "empathy": nothing,
            }
            for name, label in labels.items()
        },
        "replied": {"eips": "happy", "direct": "sad"},
        "tokens": {"eips": 70, "direct": 21},
        "reward": {"eips": 0.75, "direct": 0.25},
        "empathy": {"eips": 1.0, "direct": 0.0},
    } | changes


def write(file: Path, records: list[dict]) -> Path:
    file.write_text("".join(json.dumps(r) + "\n" for r in records))
    return file


def test_each_value_is_read_from_its_own_place():
    found = {name: value(record(0)) for name, value in VALUES.items()}
    assert found == {
        "label": 1.0,
        "reply_eips": 1.0,
        "reply_direct": 0.0,
        "reward_eips": 0.75,
        "reward_direct": 0.25,
        "empathy_eips": 4.0,
        "empathy_direct": 1.0,
        "tokens_eips": 70.0,
        "tokens_direct": 21.0,
    }


def test_a_figure_is_the_mean_over_seeds_with_each_seeds_own():
    seeds = [[record(n, label) for n, label in enumerate(labels)] for labels in ("hhhs", "hsss")]
    seeds = [[r | {"perceived": {"h": "happy", "s": "sad"}[r["perceived"]]} for r in seed] for seed in seeds]
    figure = Answered(seeds).figure("label")
    assert figure["mean"] == 0.5  # (3 + 1) of 8
    assert figure["seeds"] == [0.75, 0.25]
    # cells of the seeds' means: (1 + .5) / 2 = .75 and (.5 + 0) / 2 = .25; drawn with replacement
    assert (figure["low"], figure["high"]) == (0.25, 0.75)


def test_seeds_are_averaged_before_the_interval_so_their_spread_does_not_widen_it():
    cells = ["a", "b"]
    figure = over_seeds(np.array([[1.0, 1.0], [0.0, 0.0]]), cells)
    assert (figure["mean"], figure["low"], figure["high"], figure["seeds"]) == (0.5, 0.5, 0.5, [1.0, 0.0])


def test_a_ratio_is_of_means_and_not_a_mean_of_ratios():
    over, under = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    figure = ratio_over_seeds(over, under, ["a", "b"])
    assert figure["mean"] == pytest.approx(1.0)  # 3 / 3, where the mean of the seeds' ratios is 1.25
    assert figure["seeds"] == [0.5, 2.0]
    assert (figure["low"], figure["high"]) == (1.0, 1.0)  # in each cell 1 of 1 or 0.5 of 0.5


def test_seeds_of_other_clips_are_refused(tmp_path):
    first = write(tmp_path / "a.jsonl", [record(0), record(1)])
    for other in ([record(1), record(0)], [record(0)], [record(0), record(1, policy="q")]):
        with pytest.raises(ValueError, match=r"a\.jsonl and .*b\.jsonl are not about the same policies and clips"):
            read_seeds([first, write(tmp_path / "b.jsonl", other)])


def test_policies_are_told_apart(tmp_path):
    lines = [record(0), record(0, policy="q", perceived="sad"), record(1)]
    found = read_seeds([write(tmp_path / "a.jsonl", lines)] * 2)
    assert {name: answered.values("label").tolist() for name, answered in found.items()} == {
        "p": [[1.0, 1.0], [1.0, 1.0]],
        "q": [[0.0], [0.0]],
    }


def test_conflict_is_measured_on_its_clips_alone():
    plain = Answered([[record(n) for n in range(4)]])
    polar = Answered([[record(n, "sad" if n % 2 else "happy") for n in range(4)]])
    found = by_condition(plain, polar)
    voice = found["voice"]
    assert (voice["label"]["mean"], voice["conflict"]["mean"], voice["conflict_reply_direct"]["mean"]) == (
        1.0,
        0.0,
        0.0,
    )
    assert found["shuffled"]["conflict"]["mean"] == found["shuffled"]["conflict_reply_direct"]["mean"] == 1.0


def test_every_column_is_measured_in_every_control():
    answered = Answered([[record(n) for n in range(4)]])
    found = by_condition(answered, answered)
    means = {
        name: [row[key]["mean"] for key in ("reply_eips", "reply_direct", "reward_eips")] for name, row in found.items()
    }
    assert means == {
        "voice": [1.0, 0.0, 0.75],
        "transcript": [0.0, 0.0, 0.0],
        "silence": [0.0, 0.0, 0.0],
        "shuffled": [1.0, 1.0, 0.0],
    }
    assert found["voice"]["tokens_eips"]["mean"] == 70 and found["silence"]["tokens_eips"]["mean"] == 60


def test_a_control_without_any_label_says_so():
    answered = Answered([[record(n) for n in range(4)]])
    voice, text, silence, shuffled = stage_rows("sft", by_condition(answered, answered))
    assert voice[:4] == ["sft", "the voice", "100.0 [100.0, 100.0]", "100.0 [100.0, 100.0]"]
    label, conflict = (2 + list(COLUMNS).index(name) for name in ("label", "conflict"))
    assert text[:2] == ["sft", "text only"] and text[label] == text[conflict] == "0.0 [0.0, 0.0]"
    assert silence[label] == silence[conflict] == "no label given"
    assert shuffled[label] == "100.0 [100.0, 100.0]"
    for row in (voice, text, silence, shuffled):
        assert len(row) == 2 + len(COLUMNS) and all(row)


def test_columns_show_their_unit():
    figure = {"mean": 0.5, "low": 0.25, "high": 0.75, "seeds": [0.25, 0.75]}
    assert COLUMNS["label"].shown(figure) == "50.0 [25.0, 75.0]"
    assert COLUMNS["reward_eips"].each(figure) == "0.250, 0.750"
