"""Two flags decide where a line goes; a chat model's thoughts are mended, judged and routed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from chat_server import ChatServer

from cogrl.chat.client import ChatClient
from cogrl.chat.endpoint import Endpoint
from cogrl.chat.retry import RetryPolicy
from cogrl.cli.described import described
from cogrl.data.recipes.eaqa.assembly import assembled
from cogrl.data.recipes.eaqa.routing import WITHOUT_THOUGHT, Flags, flags_of, routed
from cogrl.data.recipes.eaqa.thoughts import TemplateWriter, Thoughts, ThoughtWriter
from cogrl.data.recipes.eaqa.thoughts_chat import ChatWriter, checked, checked_flags
from cogrl.types import Event, Example, Span, SpokenTurn

RIGHT = "<think>hear low <seg>1.0, 2.0</seg> o o</think><answer>o o</answer>"


def line(name="a", target=RIGHT, split="sft"):
    return Example(
        id=name,
        audio=Path(f"{name}.flac"),
        split=split,
        duration_s=5.0,
        question="What does the low voice say?",
        answer="o o",
        events=(Event(1.2, 1.8, "low voice"), Event(3.0, 3.4, "bell")),
        speech=(SpokenTurn("low voice", 1.2, 1.8, "o o"),),
        evidence=(Span(1.2, 1.8),),
        targets={"choice": "o o", "echo": target},
    )


@pytest.mark.parametrize(
    ("target", "answer", "segments"),
    [
        (RIGHT, "", ""),
        (RIGHT.replace("<answer>o o", "<answer>o a"), "its answer is 'o a', not 'o o'", ""),
        (RIGHT.replace("1.0, 2.0", "1.0, 5.2"), "", "<seg>1.0, 5.2</seg> is outside"),
        (RIGHT.replace("1.0, 2.0", "1.0, 1.1"), "", "is too_short"),
        (RIGHT.replace("1.0, 2.0", "2.0, 2.9"), "", "nothing is heard in <seg>2.0, 2.9</seg>"),
        (RIGHT.replace("<seg>1.0, 2.0</seg>", ""), "", "it cites no part of the clip"),
        (RIGHT.replace("hear low ", ""), "", "no text before or behind"),
        (RIGHT.replace("</seg> o o", "</seg>"), "", "no text before or behind"),
        (RIGHT.replace(" o o</think>", "<seg>3.0, 3.5</seg> o o</think>"), "", "no text before or behind"),
    ],
)
def test_each_flag_has_its_reason(target, answer, segments):
    found = flags_of(line(target=target))
    assert answer in found.answer and bool(answer) == bool(found.answer)
    assert segments in found.segments and bool(segments) == bool(found.segments)


def test_both_right_go_to_sft_the_answer_alone_to_rl_and_a_wrong_answer_nowhere():
    rows = [line("a"), line("b"), line("c"), line("d", split="val"), line("e", split="rl")]
    flags = {"b": Flags(segments="far off"), "c": Flags(answer="wrong"), "d": Flags(segments="far off")}
    manifests, rejected = routed(rows, flags)
    assert {name: [row.id for row in found] for name, found in manifests.items()} == {
        "sft": ["a"],
        WITHOUT_THOUGHT: ["b"],
        "rl": ["e"],
    }
    (moved,) = manifests[WITHOUT_THOUGHT]
    assert moved.targets == {} and moved.split == WITHOUT_THOUGHT and moved.answer == "o o"
    assert moved.synthesis["thought_left_out"] == "far off" and rejected == {"c": "wrong", "d": "far off"}


def test_templates_are_checked_and_nothing_left_is_an_error():
    rows, rejected, report = assembled([line("b"), line("a")], TemplateWriter())
    assert [row.id for row in rows["sft"]] == ["a", "b"] and rejected == {} and report == "of templates"
    with pytest.raises(ValueError, match="every line was rejected, such as a: its answer is"):
        assembled([line(target=RIGHT.replace("<answer>o o", "<answer>u"))], TemplateWriter())


@pytest.fixture(scope="module")
def server():
    with ChatServer() as server:
        yield server


def writer_at(server, tmp_path):
    retry = RetryPolicy(attempts=2, attempt_s=20.0, pause_s=0.01)
    return ChatWriter(ChatClient(Endpoint(server.base_url, "writer"), retry, cache=tmp_path / "kept.sqlite"))


def test_a_chat_model_with_another_answer_is_asked_twice_and_its_line_left_out(server, tmp_path):
    server.behave()
    writer = writer_at(server, tmp_path)
    made = writer.write([line()])
    assert isinstance(writer, ThoughtWriter) and isinstance(made, Thoughts) and made.rows == {}
    assert "its answer is 'A short line about what was said.'" in made.flags["a"].answer
    assert server.stats()["requests"] == 2
    assert set(json.loads(server.stats()["last"]["body"]["messages"][1]["content"])) == {
        "events", "speech", "duration_s", "question", "choices", "answer",
    }  # fmt: skip


def test_a_thought_without_parts_is_mended_judged_and_routed(server, tmp_path):
    """The server's sentence is the right answer here; its thought cites nothing, and its flags are 1 to 4."""
    server.behave()
    sentence = "A short line about what was said."
    rows = [replace(line(f"r{n}"), answer=sentence, question=f"Who {n}?") for n in range(12)]
    made = writer_at(server, tmp_path).write(rows)
    assert set(made.flags) == {row.id for row in rows}
    for name, flags in made.flags.items():
        assert flags.segments == "it cites no part of the clip" or "valid must be 0 or 1, got" in flags.answer, name
    manifests, rejected = routed(list(made.rows.values()), made.flags)
    assert len(manifests.get(WITHOUT_THOUGHT, [])) + len(rejected) == 12 and "sft" not in manifests


def test_answers_that_did_not_come_stop_the_build(server, tmp_path):
    server.behave("reset")
    with pytest.raises(ConnectionError, match="1 of 1 lines got no answer"):
        writer_at(server, tmp_path).write([line()])


def test_what_a_chat_model_says_is_read_strictly():
    fields = {"thinking": "hear low <seg>1.0, 2.0</seg>\n o o", "answer": "o o"}
    assert checked(line(), json.dumps(fields)) == fields | {"thinking": "hear low <seg>1.0, 2.0</seg> o o"}
    with pytest.raises(ValueError, match="its answer is 'u', not 'o o'"):
        checked(line(), json.dumps(fields | {"answer": "u"}))
    with pytest.raises(ValueError, match="an empty field, or markup inside one"):
        checked(line(), json.dumps(fields | {"thinking": "<answer>o o</answer>"}))
    assert checked_flags('{"qa_valid": 1, "cot_valid": 0, "reason": "so"}')["cot_valid"] == "0"
    with pytest.raises(ValueError, match="cot_valid must be 0 or 1, got None"):
        checked_flags('{"qa_valid": 1, "reason": "so"}')


def test_a_writer_without_a_cache_is_refused_and_the_example_file_describes_one(server):
    with pytest.raises(ValueError, match="traces are paid for"):
        ChatWriter(ChatClient(Endpoint(server.base_url, "writer")))
    file = Path(__file__).parents[4] / "configs/annotator/eaqa_chat.yaml"
    assert isinstance(described(file, "writer", ThoughtWriter, str(file)), ChatWriter)
