"""HumDial: the published table recomputed, target turns, scales, languages."""

import json

import pytest

from cogrl.data.corpora.dialogues import TARGETS
from cogrl.evaluate.humdial import (
    TASKS,
    Dialogue,
    Turn,
    final,
    final_language,
    language_of,
    last_turn,
    read_dialogues,
)
from cogrl.evaluate.humdial_prompts import TEMPLATES, prompt

# https://aslp-lab.github.io/HumDial-Challenge/track1/results: the three dimensions of tasks 1 and 2, D1, D2, D3, score
ZH = {
    "BJTU_Unisound_team": ((4.89, 4.95, 4.95), (4.57, 4.54, 4.73), (3.92, 3.73, 3.81), 4.18),
    "HDTLAB": ((4.28, 3.95, 4.44), (4.25, 4.42, 5.00), (3.74, 3.00, 3.37), 3.72),
    "IUSpeech": ((3.53, 3.19, 3.57), (3.15, 3.15, 4.78), (3.40, 2.78, 3.13), 3.24),
    "Lingcon insight": ((3.53, 3.08, 3.47), (3.33, 3.07, 4.76), (3.38, 2.89, 3.25), 3.29),
    "SenseDialog": ((2.40, 2.41, 2.41), (5.00, 5.00, 5.00), (4.96, 3.62, 3.76), 3.82),
    "TeleAI": ((4.95, 5.00, 5.00), (4.91, 4.96, 5.00), (3.87, 3.69, 3.87), 4.26),
    "Tencent Ai Lab-NJU": ((4.83, 4.96, 4.96), (5.00, 5.00, 5.00), (4.10, 3.50, 3.74), 4.20),
    "Baseline": ((3.23, 3.15, 3.25), (2.95, 2.61, 4.18), (3.28, 3.00, 3.31), 3.20),
}
EN = {
    "BJTU_Unisound_team": ((4.48, 4.65, 4.65), (4.88, 4.89, 4.95), (4.13, 3.96, 3.72), 4.23),
    "HDTLAB": ((4.41, 4.07, 4.76), (4.22, 4.40, 5.00), (3.74, 3.74, 3.59), 4.00),
    "IUSpeech": ((2.35, 2.00, 2.20), (2.10, 1.94, 2.91), (2.15, 3.61, 3.54), 2.90),
    "Lingcon insight": ((1.77, 1.75, 1.84), (1.84, 1.63, 2.51), (2.25, 3.10, 3.09), 2.53),
    "SenseDialog": ((4.92, 4.95, 4.95), (4.84, 4.84, 4.84), (4.91, 3.87, 3.56), 4.30),
    "TeleAI": ((4.93, 4.97, 4.97), (5.00, 5.00, 5.00), (3.84, 3.89, 3.69), 4.27),
    "Tencent Ai Lab-NJU": ((4.69, 4.99, 4.99), (5.00, 5.00, 5.00), (4.18, 3.92, 3.61), 4.28),
    "Baseline": ((2.13, 1.92, 2.04), (2.03, 1.89, 2.74), (2.19, 2.70, 2.81), 2.45),
}
FINAL = {"TeleAI": 4.27, "Tencent Ai Lab-NJU": 4.24, "BJTU_Unisound_team": 4.21, "SenseDialog": 4.06, "HDTLAB": 3.86}
FINAL |= {"IUSpeech": 3.07, "Lingcon insight": 2.91, "Baseline": 2.82}


def score(row) -> float:
    first, second, third, _ = row
    return final_language(sum(first) / 3, sum(second) / 3, *third)


def test_the_winning_score_of_4_27_comes_out():
    assert final_language(4.98, 4.96, 3.87, 3.69, 3.87) == pytest.approx(4.265)
    assert final_language(4.96, 5.00, 3.84, 3.89, 3.69) == pytest.approx(4.271)
    assert round(final(score(ZH["TeleAI"]), score(EN["TeleAI"])), 2) == 4.27


@pytest.mark.parametrize("team", FINAL)
def test_every_row_of_the_published_tables_comes_out(team):
    """Within the rounding of the figures that were published."""
    assert score(ZH[team]) == pytest.approx(ZH[team][-1], abs=0.0101)
    assert score(EN[team]) == pytest.approx(EN[team][-1], abs=0.0101)
    assert final(score(ZH[team]), score(EN[team])) == pytest.approx(FINAL[team], abs=0.0101)


@pytest.mark.parametrize("number", [1, 2])
def test_tasks_1_and_2_know_the_scores_1_3_and_5(number):
    given = [1, 1.9, 2, 2.5, 3, 4, 4.5, 5]
    assert [TASKS[number].snapped(float(x)) for x in given] == [1, 1, 1, 1, 3, 3, 3, 5]


def test_task_3_keeps_whole_points():
    assert [TASKS[3].snapped(float(x)) for x in (1, 2, 3.9, 4, 5)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("task", TASKS.values())
@pytest.mark.parametrize("value", [0.0, 5.5, 9.0, -1.0])
def test_a_score_off_the_scale_is_no_score(task, value):
    with pytest.raises(ValueError, match="from 1 to 5"):
        task.snapped(value)


def turns(*emotions):
    return tuple(Turn(emotion, f"Words {i}.", f"Reply {i}.") for i, emotion in enumerate(emotions))


@pytest.mark.parametrize(
    ("emotions", "second", "last"),
    [
        (("sad", "neutral", "happy", "anger", "neutral"), 2, 3),
        (("Neutral", "sad", "sad"), 2, 2),
        (("neutral", "sad", "neutral"), None, 1),
        (("neutral", "neutral"), None, None),
    ],
)
def test_the_two_published_target_turns(emotions, second, last):
    assert TARGETS["second"](emotions) == second and TARGETS["last"](emotions) == last
    assert last_turn(emotions) == len(emotions) - 1


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I am so sorry.", "en"),
        ("我很难过。", "zh"),
        ("我用 iPhone 和 Wi-Fi 上网", "zh"),
        ("I said 你好 to all of them", "en"),
        ("…", None),
        ("", None),
    ],
)
def test_the_language_of_a_text(text, language):
    assert language_of(text) == language


def line(**fields) -> str:
    turn = {"turn_id": 1, "emotion": "sad", "text": "Hello.", "response_text": "Hi."}
    return json.dumps({"dialogue_id": "d1", "turns": [turn | fields]})


def test_both_spellings_are_read_and_the_chat_template_is_cut_off(tmp_path):
    other = {"turn_id": 1, "input_emotion": "happy", "input_text": "Yes!", "response_text": "user\nx\nassistant\nGood."}
    other["response_audio"] = "b/1.wav"
    (tmp_path / "d.jsonl").write_text(line() + "\n\n" + json.dumps({"dialogue_id": "d2", "turns": [other]}) + "\n")
    first, second = read_dialogues(tmp_path / "d.jsonl")
    assert first == Dialogue("d1", (Turn("sad", "Hello.", "Hi."),))
    assert second.turns == (Turn("happy", "Yes!", "Good.", tmp_path / "b/1.wav"),)


@pytest.mark.parametrize("bad", ["{", "[]", line(emotion=""), line(text=None), '{"dialogue_id": "d", "turns": []}'])
def test_a_bad_dialogue_is_named_by_its_line(tmp_path, bad):
    (tmp_path / "d.jsonl").write_text(line() + "\n" + bad + "\n")
    with pytest.raises(ValueError, match=r"d.jsonl:2\b"):
        read_dialogues(tmp_path / "d.jsonl")


def test_the_judge_reads_the_history_up_to_the_target_and_no_further():
    dialogue = Dialogue("d", turns("sad", "neutral", "happy", "anger"))
    for task in TASKS.values():
        text = prompt(task, dialogue, 2)
        assert "User (sad): Words 0." in text and "AI: Reply 2." in text and "Words 3." not in text
        assert all(name in text for name in task.dimensions) and '"scores"' in text
        assert "{conversation" not in text and "{user_question}" not in text


def test_words_in_braces_are_left_alone():
    dialogue = Dialogue("d", (Turn("sad", "{final_model_response} {x}", "Reply {user_question}."),))
    text = prompt(TASKS[1], dialogue, 0)
    assert text.count("User (sad): {final_model_response} {x}\nAI: Reply {user_question}.") == 1


def test_the_organisers_template_can_be_used():
    dialogue = Dialogue("d", turns("sad"))
    text = prompt(TASKS[2], dialogue, 0, 'Rate {conversation_history} / {user_question}: {"scores": {"a": <1>}}')
    assert text == 'Rate User (sad): Words 0.\nAI: Reply 0. / Words 0.: {"scores": {"a": <1>}}'
    with pytest.raises(ValueError, match=r"has no \{conversation_history\}"):
        prompt(TASKS[2], dialogue, 0, "Rate it.")
    assert set(TEMPLATES) == set(TASKS)
