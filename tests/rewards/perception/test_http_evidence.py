"""A recogniser behind a real HTTP server: what it is sent, what its answers mean, and what its failures cost."""

import base64
import io
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile
from traces import EXAMPLE, answered
from voices import RATE, clip, turn

from cogrl.chat.retry import RetryPolicy
from cogrl.rewards.composite import WeightedSum
from cogrl.rewards.perception import PerceptualConsistency
from cogrl.rewards.perception.http_evidence import HttpEvidence
from cogrl.types import Clip

WAVEFORM = clip(turn("low"), turn("high"))
QUICK = RetryPolicy(attempts=2, attempt_s=5.0, pause_s=0.01)


class Recogniser:
    """A server that gives `answers` in turn, the last one for ever; an int is a status."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((self.path, dict(self.headers), json.loads(body)))
                said = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                content = said if isinstance(said, str) else json.dumps(said)
                self.send_response(said if isinstance(said, int) else 200)
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/recognise"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def with_clip(waveform=WAVEFORM, **changed):
    return replace(answered(**changed), clip=Clip(EXAMPLE, waveform))


def value(section, evidence, answer):
    return PerceptualConsistency(section, evidence).values([answer])[0]


def test_the_server_is_sent_the_very_clip_once_for_all_its_completions(monkeypatch):
    monkeypatch.setenv("RECOGNISER_KEY", "secret")
    with Recogniser({"labels": ["rain"]}) as server:
        evidence = HttpEvidence(server.url, api_key_env="RECOGNISER_KEY", retry=QUICK)
        found = PerceptualConsistency("environment", evidence).values(
            [with_clip(), with_clip(environment="hum"), with_clip()]
        )
    assert found == [1.0, 0.0, 1.0]
    ((path, headers, body),) = server.asked
    assert path == "/recognise" and headers["Authorization"] == "Bearer secret" and list(body) == ["audio"]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(body["audio"])), dtype="float32")
    assert rate == RATE and np.abs(samples - WAVEFORM).max() < 1e-4


def test_words_speakers_and_labels_are_facts_and_what_is_left_out_is_not_known():
    turns = [{"speaker": "low", "text": "Kettle river."}, {"speaker": "high", "text": "window apple"}]
    with Recogniser({"turns": turns, "labels": ["rain"], "speakers": 2}) as server:
        evidence = HttpEvidence(server.url, retry=QUICK)
        assert [value(section, evidence, with_clip()) for section in ("environment", "speaker", "asr")] == [1.0] * 3
        assert value("asr", evidence, with_clip(asr="high: kettle river")) == 0.0
        assert value("description", evidence, with_clip()) is None
    with Recogniser({"turns": [{"text": "kettle river window apple"}]}) as server:
        evidence = HttpEvidence(server.url, retry=QUICK)
        assert value("asr", evidence, with_clip(asr="high: kettle river")) == 0.5, "words of anybody"
        assert value("speaker", evidence, with_clip()) is None and value("environment", evidence, with_clip()) is None
    with Recogniser({"labels": [], "turns": []}) as server:
        evidence = HttpEvidence(server.url, retry=QUICK)
        assert value("environment", evidence, with_clip(environment="none")) == 1.0
        assert value("asr", evidence, with_clip()) is None


@pytest.mark.parametrize(
    "broken", ["no json", '{"turns": [{"words": "kettle"}]}', '{"speakers": -1}', '{"label": ["rain"]}', "[]", 500, 404]
)
def test_a_failure_is_an_error_of_the_sample_and_never_a_zero(broken, caplog):
    with Recogniser(broken) as server:
        reward = WeightedSum(
            {"environment": PerceptualConsistency("environment", HttpEvidence(server.url, retry=QUICK))},
            {"environment": 1.0},
            max_failures=1.0,
        )
        assert reward.score([with_clip()]).total.isnan().all()
        assert len(server.asked) == (1 if broken == 404 else 2)
        assert "sample q1" in caplog.text
        strict = WeightedSum(reward.terms, reward.weights, max_failures=0.1)
        with pytest.raises(RuntimeError, match="1 of 1"):
            strict.score([with_clip()])


def test_a_slip_is_asked_about_once_more_and_a_kept_answer_never(tmp_path):
    with Recogniser(503, {"labels": ["rain"]}) as server:
        evidence = HttpEvidence(server.url, retry=QUICK, cache=tmp_path / "heard.sqlite")
        assert value("environment", evidence, with_clip()) == 1.0 and len(server.asked) == 2
        assert value("environment", evidence, with_clip()) == 1.0 and len(server.asked) == 2
        assert value("environment", evidence, with_clip(-WAVEFORM)) == 1.0 and len(server.asked) == 3


def test_an_unreachable_server_is_a_failure_within_the_deadline():
    with Recogniser({}) as server:
        pass
    found = HttpEvidence(server.url, retry=QUICK).facts([with_clip()])
    assert isinstance(found[0], ConnectionError)
    with pytest.raises(ValueError, match="deadline_s=0"):
        HttpEvidence("http://127.0.0.1:1", deadline_s=0.0)
