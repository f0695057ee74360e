"""The chat client against a live server that fails in many ways."""

import asyncio
import email.utils
import logging
import os
import pickle
import signal
import socket
import threading
import time
from dataclasses import replace

import pytest
from chat_server import ChatServer, canned

from cogrl.chat.client import ChatClient
from cogrl.chat.endpoint import Endpoint
from cogrl.chat.http import retry_after_s
from cogrl.chat.json_answer import parse_object
from cogrl.chat.question import Answer, Failure, Prices, Question, Usage
from cogrl.chat.retry import RetryPolicy

SCHEMA = {"type": "object", "properties": {"reasoning": {"type": "string"}, "score": {"type": "integer"}}}
QUICK = RetryPolicy(attempts=3, attempt_s=5.0, pause_s=0.01)


@pytest.fixture(scope="module")
def server():
    with ChatServer() as server:
        yield server


@pytest.fixture
def client(server):
    server.behave()
    return ChatClient(Endpoint(server.base_url, "tiny-judge"), QUICK)


def score(answer: str) -> int:
    found = parse_object(answer)["score"]
    if not 1 <= found <= 4:
        raise ValueError(f"{found} is off the scale")
    return found


def questions(n, tag="q"):
    return [Question("Score it.", f"{tag} {i}", score, SCHEMA) for i in range(n)]


def expected(question):
    return canned(question.schema, question.user)["score"]


def errors(replies):
    return [type(entry.error) for entry in replies.entries if isinstance(entry, Failure)]


def test_answers_come_in_the_order_of_the_questions_whatever_order_they_arrive_in(server, client):
    asked = questions(40)
    replies = client.ask(asked)
    assert [entry.value for entry in replies.entries] == [expected(q) for q in asked]
    assert server.stats()["requests"] == replies.usage.requests == replies.usage.answered == 40


def test_the_request_is_what_the_protocol_says(server, client, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    endpoint = Endpoint(server.base_url + "/", "m", "SOME_KEY", max_tokens=None, extra={"top_k": 20})
    replace(client, endpoint=endpoint).ask([Question("Be fair.", "Hello", score, SCHEMA, "scores")])
    last = server.stats()["last"]
    assert last["headers"]["Authorization"] == "Bearer sk-secret"
    assert last["body"] == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be fair."}, {"role": "user", "content": "Hello"}],
        "temperature": 0.0,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "scores", "schema": SCHEMA, "strict": True},
        },
        "top_k": 20,
    }


@pytest.mark.parametrize(
    ("answer_format", "sent"), [("json_object", {"type": "json_object"}), ("text", None)], ids=["json_object", "text"]
)
def test_servers_that_know_no_schema_are_asked_without_one(client, answer_format, sent):
    body = replace(client.endpoint, answer_format=answer_format).body(questions(1)[0])
    assert body.get("response_format") == sent


PASSING = ["500", "503", "429", "408", "reset", "half_a_body", "no_json", "malformed", "cut", "empty", "out_of_range"]
PASSING += ["length"]  # whole by chance, but the server says that it was cut off
FORGIVEN = ["comments", "fences", "prose", "unmetered"]


@pytest.mark.parametrize("fault", PASSING)
def test_a_question_is_asked_again_after_a_passing_fault(server, client, fault):
    server.behave(fault, times=1, retry_after="0")
    asked = questions(5)
    replies = client.ask(asked)
    assert [entry.value for entry in replies.entries] == [expected(q) for q in asked]
    assert [entry.attempts for entry in replies.entries] == [2] * 5
    assert server.stats()["requests"] == replies.usage.requests == 10


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_stays_is_a_failure_after_the_last_attempt(server, client, fault):
    server.behave(fault, retry_after="0")
    replies = client.ask(questions(2))
    assert [entry.attempts for entry in replies.entries] == [3, 3]
    kind = ConnectionError if fault.isdigit() or fault in ("reset", "half_a_body") else ValueError
    assert errors(replies) == [kind] * 2 and replies.usage.failed == 2


@pytest.mark.parametrize("fault", FORGIVEN)
def test_a_slovenly_answer_is_read_at_once(server, client, fault):
    server.behave(fault)
    replies = client.ask(questions(3))
    assert [entry.attempts for entry in replies.entries] == [1, 1, 1]
    assert replies.usage.unmetered == (3 if fault == "unmetered" else 0)


@pytest.mark.parametrize("fault", ["400", "401", "404", "307"])
def test_a_refusal_that_will_not_change_is_not_repeated(server, client, fault):
    server.behave(fault)
    replies = client.ask(questions(2))
    assert [entry.attempts for entry in replies.entries] == [1, 1]
    assert server.stats()["requests"] == 2 and f"status {fault}" in str(replies.entries[0].error)


def test_retry_after_is_honoured(server, client):
    server.behave("429", times=1, retry_after="1")
    client.ask(questions(1))
    first, second = server.stats()["arrivals"]
    assert second - first >= 1.0


def test_a_wait_that_ends_after_the_deadline_is_not_begun(server, client):
    server.behave("429", retry_after="300")
    start = time.monotonic()
    replies = client.ask(questions(3), deadline_s=60.0)
    assert time.monotonic() - start < 30 and server.stats()["requests"] == 3
    assert errors(replies) == [ConnectionError] * 3


def test_retry_after_is_read_in_both_forms():
    assert retry_after_s("2.5") == 2.5
    assert 50 < retry_after_s(email.utils.formatdate(time.time() + 60, usegmt=True)) <= 61
    for useless in (None, "", "soon", "-3", "nan", "inf", email.utils.formatdate(0, usegmt=True)):
        assert retry_after_s(useless) == 0.0


def test_pauses_grow_up_to_a_limit_and_differ():
    retry = RetryPolicy(pause_s=1.0, pause_max_s=8.0)
    for tries, longest in ((1, 1), (2, 2), (3, 4), (4, 8), (9, 8)):
        drawn = [retry.pause(tries, 0.0) for _ in range(200)]
        assert longest / 2 <= min(drawn) < max(drawn) <= longest and len(set(drawn)) > 100
    assert retry.pause(1, 30.0) >= 30.0


def test_a_stalled_attempt_is_given_up_and_repeated(server, client):
    server.behave("stall", times=1)
    (entry,) = replace(client, retry=replace(QUICK, attempt_s=0.3)).ask(questions(1)).entries
    assert entry.attempts == 2 and entry.value in (1, 2, 3, 4)


def test_no_batch_outlasts_its_deadline_and_what_was_answered_counts(server, client):
    server.behave()
    few = client.ask(questions(4)).entries
    server.behave("stall")
    start = time.monotonic()
    replies = replace(client, concurrency=2).ask(questions(50, "stalled"), deadline_s=0.5)
    assert time.monotonic() - start < 15  # one by one, fifty attempts of 5 s would be more than two minutes
    assert errors(replies) == [TimeoutError] * 50 and all(isinstance(entry, Answer) for entry in few)
    assert [entry.attempts for entry in replies.entries].count(0) == 48
    assert "before this question was asked" in str(replies.entries[-1].error)


def test_one_question_has_its_own_time_limit(server, client):
    server.behave("stall")
    retry = replace(QUICK, attempts=100, attempt_s=0.1, question_s=0.5)
    (entry,) = replace(client, retry=retry).ask(questions(1)).entries
    assert isinstance(entry.error, TimeoutError) and 1 < entry.attempts < 100


def test_a_server_that_is_not_there_is_a_failure(client):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        replies = replace(client, endpoint=Endpoint(url, "m")).ask(questions(2))
    assert errors(replies) == [ConnectionError] * 2 and url in str(replies.entries[0].error)


def test_after_many_failures_in_a_row_the_rest_is_not_asked(server, client):
    server.behave("401")
    replies = replace(client, concurrency=4, retry=replace(QUICK, failures_in_a_row=10)).ask(questions(200))
    assert errors(replies) == [ConnectionError] * 200
    assert 10 <= server.stats()["requests"] < 20


def test_failures_among_answers_do_not_end_the_batch(server, client):
    server.behave("400", only="5")
    replies = replace(client, concurrency=1, retry=replace(QUICK, failures_in_a_row=2)).ask(questions(50))
    assert server.stats()["requests"] == 50 and replies.usage.failed == 5


def test_no_more_requests_are_under_way_than_allowed(server, client):
    server.behave(delay_s=0.05)
    replace(client, concurrency=3).ask(questions(20))
    assert server.stats()["most_at_once"] == 3


def test_equal_questions_are_asked_once(server, client):
    asked = [*questions(3), *questions(3)]
    replies = client.ask(asked)
    assert server.stats()["requests"] == 3 and replies.usage.answered == 6
    assert [entry.value for entry in replies.entries] == [expected(q) for q in asked]


def test_any_text_can_be_asked_about(client, tmp_path):
    kept = replace(client, cache=tmp_path / "answers.sqlite")
    odd = [Question("s", text, score, SCHEMA) for text in ("\ud800 alone", "\x00", "😀", "x" * 100_000)]
    assert kept.ask(odd).usage.answered == kept.ask(odd).usage.cached == 4


def test_an_answer_with_half_a_character_is_read_and_kept(server, client, tmp_path):
    kept = replace(client, cache=tmp_path / "answers.sqlite")
    server.behave("half_a_character")
    assert kept.ask(questions(2)).usage.failed == 0 and kept.ask(questions(2)).usage.cached == 2


def test_no_questions_no_requests(server, client):
    assert client.ask([]).entries == [] and server.stats()["requests"] == 0


def test_what_was_answered_is_not_asked_again(server, client, tmp_path):
    kept = replace(client, cache=tmp_path / "answers.sqlite")
    first = kept.ask(questions(5))
    second = kept.ask(questions(8))
    assert server.stats()["requests"] == 8 and second.usage.cached == 5
    assert [entry.value for entry in second.entries[:5]] == [entry.value for entry in first.entries]
    assert first.usage.tokens_in > 0 and kept.ask(questions(8)).usage.tokens_in == 0


def test_another_model_parameter_or_message_is_another_question(server, client, tmp_path):
    kept = replace(client, cache=tmp_path / "answers.sqlite")
    (question,) = questions(1)
    kept.ask([question])
    for change in ({"model": "b"}, {"temperature": 0.5}, {"extra": {"seed": 2}}):
        endpoint = replace(client.endpoint, **change)
        assert replace(kept, endpoint=endpoint).ask([question]).usage.cached == 0
    for change in ({"system": "Score it!"}, {"user": "q 0!"}, {"schema": None}):
        assert kept.ask([replace(question, **change)]).usage.cached == 0
    assert kept.ask([question]).usage.cached == 1


@pytest.mark.parametrize("fault", ["malformed", "cut", "empty", "out_of_range", "500"])
def test_an_unusable_answer_is_never_kept(server, client, tmp_path, fault):
    kept = replace(client, cache=tmp_path / "answers.sqlite")
    server.behave(fault, retry_after="0")
    assert kept.ask(questions(2)).usage.failed == 2
    server.behave()
    assert kept.ask(questions(2)).usage.cached == 0
    assert kept.ask(questions(2)).usage.cached == 2


def test_an_answer_that_can_no_longer_be_read_is_asked_again(server, client, tmp_path):
    kept = replace(client, cache=tmp_path / "answers.sqlite")
    (question,) = questions(1)
    kept.ask([question])

    def pickier(answer):
        if server.stats()["requests"] < 2:
            raise ValueError("not this one")
        return score(answer)

    replies = kept.ask([replace(question, read=pickier)])
    assert replies.usage.cached == 0 and replies.usage.answered == 1


def test_the_bill_counts_every_attempt_that_cost_tokens(server, client):
    priced = replace(client, prices=Prices(tokens_in=2.0, tokens_out=10.0))
    once = priced.ask(questions(4)).usage
    assert once.cost == pytest.approx((2 * once.tokens_in + 10 * once.tokens_out) / 1e6) and once.cost > 0
    server.behave("malformed", times=1)
    twice = priced.ask(questions(4)).usage
    assert twice.tokens_in == 2 * once.tokens_in and twice.requests == 8
    total = once + twice
    assert total.cost == pytest.approx(once.cost + twice.cost) and total.answered == 8
    assert str(Usage(answered=2, cached=1, requests=1, tokens_in=5, tokens_out=3, cost=0.5)) == (
        "2 answered (1 of them cached), 0 failed, 1 requests, 5 tokens in, 3 out, cost 0.5000"
    )


def test_it_works_under_a_running_loop(client):
    async def cell():
        return client.ask(questions(3))

    assert asyncio.run(cell()).usage.answered == 3


def test_an_error_of_the_caller_is_not_hidden(client):
    def broken(answer):
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        client.ask([Question("s", "u", broken, SCHEMA)])


def test_an_interrupt_ends_the_batch(server, client):
    server.behave("stall")
    patient = replace(client, retry=replace(QUICK, attempt_s=300.0, question_s=300.0))
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        patient.ask(questions(3))
    assert "cogrl-chat" not in [thread.name for thread in threading.enumerate()]


def test_it_can_be_pickled(client):
    assert pickle.loads(pickle.dumps(client)) == client


def test_progress_is_told_after_each_question(client):
    finished = []
    client.ask(questions(7), done=lambda: finished.append(1))
    assert len(finished) == 7


def test_the_key_appears_nowhere_but_in_the_header(server, client, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    server.behave("400")  # the server repeats the header in its complaint
    keyed = replace(client, endpoint=Endpoint(server.base_url, "m", "SOME_KEY"), cache=tmp_path / "answers.sqlite")
    replies = keyed.ask(questions(1))
    assert "***" in str(replies.entries[0].error)
    server.behave()
    keyed.ask(questions(1))
    seen = [repr(keyed), str(replies), caplog.text, pickle.dumps(keyed).decode("latin-1")]
    seen += [file.read_bytes().decode("latin-1") for file in tmp_path.iterdir()]
    assert not any("sk-secret" in text for text in seen)


def test_a_missing_key_and_a_crooked_setting_are_refused_at_once(monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ValueError, match="SOME_KEY is not set"):
        Endpoint("http://127.0.0.1/v1", "m", "SOME_KEY")
    with pytest.raises(ValueError, match="is no URL"):
        Endpoint("127.0.0.1:8000", "m")
    for crooked in ({"attempts": 0}, {"attempt_s": 0.0}, {"pause_s": -1.0}):
        with pytest.raises(ValueError, match="at least one attempt"):
            RetryPolicy(**crooked)
    with pytest.raises(ValueError, match="concurrency=0"):
        ChatClient(Endpoint("http://127.0.0.1/v1", "m"), concurrency=0)
