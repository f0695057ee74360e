"""Judging dialogues: the official settings on the wire, another try for unreadable answers, wrong language."""

import base64
import json

import pytest
import soundfile
from judge_server import judge_server

from cogrl.cli.main import main
from cogrl.evaluate.humdial import TASKS, Dialogue, Turn
from cogrl.evaluate.humdial_judge import JudgeSettings, judge_dialogues, over_http, summary

TASK, EMPATHY = TASKS[1], TASKS[3]


def dialogue(name="d", response="You were sad, then calm.", **fields) -> Dialogue:
    first = Turn("sad", "I lost it.", "I am sorry.")
    return Dialogue(name, (first, Turn("neutral", "How did I feel?", response, **fields)))


def judge_answer(task, *points) -> str:
    return json.dumps({"scores": dict(zip(task.dimensions, points, strict=True)), "overall_comment": "fine"})


class Says:
    """A judge that gives its answers in turn, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = iter(answers), []

    def __call__(self, chats, settings):
        self.asked += [(chat, settings) for chat in chats]
        return [next(self.answers) for _ in chats]


def test_scores_are_read_and_snapped():
    (found,) = judge_dialogues(TASK, [dialogue()], Says(judge_answer(TASK, 5, 4, 2)))
    assert found.scores == {"Accuracy_Completeness": 5, "Depth_Granularity": 3, "Added_Value": 1}


@pytest.mark.parametrize(
    "answer",
    [
        "```json\n" + judge_answer(TASK, 5, 5, 5) + "\n```",
        "Here it is: " + judge_answer(TASK, 5, 5, 5) + " I hope it helps.",
        judge_answer(TASK, 5, 5, 5).replace('"overall', '// good\n"overall'),
        judge_answer(TASK, "5", "5.0", 5),
    ],
)
def test_reading_is_lenient_about_form(answer):
    says = Says(answer)
    (found,) = judge_dialogues(TASK, [dialogue()], says)
    assert set(found.scores.values()) == {5} and len(says.asked) == 1


@pytest.mark.parametrize(
    "unreadable",
    [
        "I like it.",
        '{"scores": {"Accuracy_Completeness": 5',
        '{"scores": {"Accuracy_Completeness": 5, "Depth_Granularity": 5}}',
        '{"scores": [5, 5, 5]}',
        judge_answer(TASK, 9, 5, 5),
        judge_answer(TASK, "high", 5, 5),
        judge_answer(TASK, None, 5, 5),
        judge_answer(TASK, True, 5, 5),
        TimeoutError("no answer"),
    ],
)
def test_an_unreadable_answer_is_asked_for_again_with_another_seed(unreadable):
    says = Says(unreadable, judge_answer(TASK, 3, 3, 3))
    if isinstance(unreadable, TimeoutError):
        says = Says(OSError("no answer"), judge_answer(TASK, 3, 3, 3))
    (found,) = judge_dialogues(TASK, [dialogue()], says)
    assert set(found.scores.values()) == {3} and found.reason == "judged"
    assert [settings.seed for _, settings in says.asked] == [1234, 1235]
    assert says.asked[0][0] == says.asked[1][0]


def test_only_what_failed_is_asked_again():
    says = Says(judge_answer(TASK, 1, 1, 1), "?", judge_answer(TASK, 5, 5, 5), "?", judge_answer(TASK, 3, 3, 3))
    found = judge_dialogues(TASK, [dialogue(name) for name in "abc"], says, attempts=3)
    assert [(v.dialogue_id, v.scores["Added_Value"]) for v in found] == [("a", 1), ("b", 3), ("c", 5)]
    assert len(says.asked) == 5


def test_a_dialogue_that_fails_for_good_is_left_out_and_counted():
    says = Says(judge_answer(TASK, 5, 5, 5), "?", "?", "?")
    found = judge_dialogues(TASK, [dialogue("a"), dialogue("b")], says)
    assert found[1].scores == {} and found[1].reason.startswith("failed: no JSON object")
    report = summary(TASK, found)
    assert report["average"] == 5 and report["dialogues"] == {"judged": 1, "failed": 1}
    assert report["dimensions"]["Added_Value"]["n"] == 1


@pytest.mark.parametrize("response", ["你先难过，后来平静了。", "", "…"])
def test_the_wrong_language_gets_one_point_unasked(response):
    says = Says()
    (found,) = judge_dialogues(TASK, [dialogue(response=response)], says)
    assert set(found.scores.values()) == {1} and found.reason == "wrong language" and not says.asked


def test_the_language_of_the_test_set_can_be_told():
    found = judge_dialogues(TASK, [dialogue()], Says(), language="zh")
    assert found[0].reason == "wrong language"


def test_task_3_is_judged_at_the_turn_that_was_chosen():
    talk = Dialogue("d", tuple(Turn(e, f"Words {e}.", f"Reply {e}.") for e in ("sad", "happy", "fear")))
    for target, response in (("second", "Reply happy."), ("last", "Reply fear.")):
        says = Says(judge_answer(EMPATHY, 4, 3, 3))
        (found,) = judge_dialogues(EMPATHY, [talk], says, target=target)
        assert says.asked[0][0][0]["content"].count(response) == 1
        assert ("Reply fear." in says.asked[0][0][0]["content"]) == (target == "last")
        assert found.scores == {"textual_empathy_insight": 4}  # no audio, no scores of the voice


def test_task_3_without_a_target_turn_is_skipped():
    says = Says()
    (found,) = judge_dialogues(EMPATHY, [dialogue()], says)
    assert found.scores == {} and found.reason == "no second non-neutral turn" and not says.asked
    assert summary(EMPATHY, [found])["average"] is None


def test_task_3_lets_the_judge_hear_the_response(tmp_path):
    soundfile.write(tmp_path / "a.wav", [0.1, -0.1] * 400, 16_000)
    talk = Dialogue("d", (Turn("sad", "One.", "Yes."), Turn("fear", "Two.", "No.", tmp_path / "a.wav")))
    says = Says(judge_answer(EMPATHY, 4, 3, 2))
    (found,) = judge_dialogues(EMPATHY, [talk], says)
    sound, text = says.asked[0][0][0]["content"]
    assert sound == {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode((tmp_path / "a.wav").read_bytes()).decode(), "format": "wav"},
    }
    assert text["type"] == "text" and list(found.scores.values()) == [4, 3, 2]


@pytest.fixture
def server():
    """A judge that answers out of form first; `server.bodies` are the requests."""
    form = f"```json\n{judge_answer(TASK, 5, 4, 3)}\n```"
    with judge_server(lambda body, n: "Well." if n == 1 else form) as running:
        yield running


def test_the_official_settings_go_over_the_wire(server):
    (found,) = judge_dialogues(TASK, [dialogue()], over_http(server.url))
    assert list(found.scores.values()) == [5, 3, 3]
    first, second = server.bodies
    assert {k: v for k, v in first.items() if k != "messages"} == {
        "model": "Qwen/Qwen3-Omni-30B-A3B-Instruct",
        "temperature": 0.6,
        "top_p": 0.95,
        "top_k": 20,
        "max_tokens": 16384,
        "seed": 1234,
    }
    assert [message["role"] for message in first["messages"]] == ["user"]
    assert second == first | {"seed": 1235} and JudgeSettings().max_tokens == 16_384


def test_the_command_writes_means_and_the_scores_of_each_dialogue(server, tmp_path, capsys):
    record = {
        "dialogue_id": "d1",
        "turns": [{"emotion": "sad", "text": "How did I feel?", "response_text": "You were sad."}],
    }
    (tmp_path / "d.jsonl").write_text(json.dumps(record) + "\n")
    arguments = ["humdial", "judge", str(tmp_path / "d.jsonl"), "--task", "1", "--base-url", server.url]
    assert main([*arguments, "--out", str(tmp_path / "out" / "t1.json")]) == 0
    found = json.loads((tmp_path / "out" / "t1.json").read_text())
    assert found["average"] == pytest.approx(11 / 3) and found["judged"][0]["dialogue_id"] == "d1"
    assert found["settings"]["seed"] == 1234 and "1 judged" in capsys.readouterr().out


def test_the_command_works_out_the_final_score(capsys):
    zh, en = ["4.98", "4.96", "3.87", "3.69", "3.87"], ["4.96", "5.00", "3.84", "3.89", "3.69"]
    assert main(["humdial", "final", "--zh", *zh, "--en", *en]) == 0
    assert "final 4.27" in capsys.readouterr().out


def test_a_server_that_is_not_there_is_named(tmp_path, capsys):
    record = {"dialogue_id": "d1", "turns": [{"emotion": "sad", "text": "Why?", "response_text": "Because."}]}
    (tmp_path / "d.jsonl").write_text(json.dumps(record) + "\n")
    arguments = ["humdial", "judge", str(tmp_path / "d.jsonl"), "--task", "1", "--base-url", "http://127.0.0.1:9/v1"]
    assert main([*arguments, "--out", str(tmp_path / "t1.json"), "--attempts", "1"]) == 2
    assert "no dialogue could be judged" in capsys.readouterr().err
