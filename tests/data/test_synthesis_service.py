"""Speech by a real HTTP server that fails at times: retries, deadlines, errors, and the number of concurrent lines."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import tone_speaker

from cogrl.chat.retry import RetryPolicy
from cogrl.data.synthesis.expressive import Line, decoded
from cogrl.data.synthesis.service import ServiceSynthesiser

QUICK = RetryPolicy(attempts=3, attempt_s=10.0, question_s=20.0, pause_s=0.01, pause_max_s=0.02)
LINE = Line("They told me about the exam.", "fear", "low", "anna", "en", 5)


class Speaker(BaseHTTPRequestHandler):
    """Says what it is asked, after the faults that are still to come."""

    faults: list[str] = []
    asked: list[dict] = []
    headers_seen: list[str | None] = []
    at_once = most_at_once = 0
    lock = threading.Lock()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with Speaker.lock:
            Speaker.asked.append(body)
            Speaker.headers_seen.append(self.headers.get("Authorization"))
            fault = Speaker.faults.pop(0) if Speaker.faults else ""
            Speaker.at_once += 1
            Speaker.most_at_once = max(Speaker.most_at_once, Speaker.at_once)
        try:
            self.answer(body, fault)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with Speaker.lock:
                Speaker.at_once -= 1

    def answer(self, body, fault):
        said = [body.get(name) or body[other] for name, other in (("text", "input"), ("emotion", "style"))]
        sound = tone_speaker.spoken(*said, body.get("intensity", "low"), body.get("speaker", "x"), body.get("seed", 0))
        if fault == "slow":
            time.sleep(0.1)
        if fault.isdigit():
            self.reply(int(fault), f"status {fault}, key {self.headers.get('Authorization')}".encode())
        elif fault == "drip":
            self.send_response(200)
            self.send_header("Content-Length", str(len(sound)))
            self.end_headers()
            for place in range(0, len(sound), 50):
                self.wfile.write(sound[place : place + 50])
                time.sleep(0.05)
        elif fault == "half":
            self.send_response(200)
            self.send_header("Content-Length", str(len(sound)))
            self.end_headers()
            self.wfile.write(sound[:1000])
        else:
            self.reply(200, b"<html>busy</html>" if fault == "garbage" else sound)

    def reply(self, status, content):
        self.send_response(status)
        if status in (429, 503):
            self.send_header("Retry-After", "0.3")
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True


@pytest.fixture(scope="module")
def url():
    server = Server(("127.0.0.1", 0), Speaker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/speak"
    server.shutdown()
    server.server_close()


@pytest.fixture
def voice(url):
    Speaker.faults, Speaker.asked, Speaker.headers_seen = [], [], []
    Speaker.at_once = Speaker.most_at_once = 0
    return lambda **settings: ServiceSynthesiser(url, ["anna", "ben"], "CC0", **{"retry": QUICK} | settings)


def test_the_service_gets_the_line_as_json_and_its_audio_is_heard(voice):
    speech = voice().say(LINE)
    expected = decoded(tone_speaker.spoken(LINE.text, "fear", "low", "anna", 5), "x")
    assert speech.sampling_rate == 8000 and speech.waveform.tobytes() == expected.waveform.tobytes()
    want = {"text": LINE.text, "emotion": "fear", "intensity": "low", "speaker": "anna", "language": "en", "seed": 5}
    assert Speaker.asked == [want]


def test_the_body_takes_the_form_that_a_server_wants(voice):
    body = {"input": "{text}", "voice": "{speaker}", "style": "{intensity} {emotion}", "model": "m", "n": [1, "{seed}"]}
    voice(body=body).say(LINE)
    assert Speaker.asked == [{"input": LINE.text, "voice": "anna", "style": "low fear", "model": "m", "n": [1, 5]}]
    with pytest.raises(ValueError, match=r"synthesiser\.body has no place for \{emotion\}, \{speaker\}"):
        voice(body={"input": "{text}"})


@pytest.mark.parametrize("fault", ["500", "503", "429", "garbage", "half"])
def test_a_service_with_a_bad_moment_is_asked_again(voice, fault):
    Speaker.faults = [fault, fault]
    assert len(voice().say(LINE).waveform) > 1000 and len(Speaker.asked) == 3


def test_retry_after_is_waited_for(voice):
    Speaker.faults, start = ["429"], time.monotonic()
    voice().say(LINE)
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize(
    ("fault", "kind", "tries"),
    [
        ("500", ConnectionError, 3),
        ("302", ConnectionError, 1),
        ("400", ValueError, 1),
        ("404", ValueError, 1),
        ("garbage", ValueError, 3),
    ],
)
def test_what_is_away_and_what_refuses_are_told_apart(voice, fault, kind, tries):
    Speaker.faults = [fault] * 9
    with pytest.raises(kind, match=rf"status {fault}" if fault.isdigit() else "no audio"):
        voice().say(LINE)
    assert len(Speaker.asked) == tries


def test_a_service_that_drips_is_given_up_at_the_deadline(voice):
    Speaker.faults, start = ["drip"] * 9, time.monotonic()
    retry = RetryPolicy(attempts=9, attempt_s=0.4, question_s=1.0, pause_s=0.01, pause_max_s=0.02)
    with pytest.raises(TimeoutError, match="no audio within"):
        voice(retry=retry).say(LINE)
    assert time.monotonic() - start < 5 and 2 <= len(Speaker.asked) <= 3


def test_nobody_there_is_a_connection_error():
    nowhere = ServiceSynthesiser("http://127.0.0.1:9/speak", ["a"], "CC0", retry=QUICK)
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9/speak"):
        nowhere.say(LINE)


def test_the_key_is_sent_and_never_shown(voice, monkeypatch):
    monkeypatch.setenv("SPEECH_KEY", "sesame-123")
    one = voice(api_key_env="SPEECH_KEY")
    Speaker.faults = ["400"]
    with pytest.raises(ValueError, match=r"key Bearer \*\*\*"):
        one.say(LINE)
    assert Speaker.headers_seen == ["Bearer sesame-123"] and "sesame" not in repr(vars(one))
    monkeypatch.delenv("SPEECH_KEY")
    with pytest.raises(ValueError, match="the environment variable SPEECH_KEY is not set"):
        one.check("en")


def test_as_many_lines_are_under_way_as_it_says(voice):
    one = voice(concurrency=6)
    Speaker.faults = ["slow"] * 24
    with one.pool(None) as pool:
        spoken = list(pool.map(one.say, [LINE] * 24))
    assert len(spoken) == 24 and 4 <= Speaker.most_at_once <= 6
    with one.pool(2) as pool:
        Speaker.faults, Speaker.most_at_once = ["slow"] * 8, 0
        list(pool.map(one.say, [LINE] * 8))
    assert Speaker.most_at_once <= 2


def test_settings_that_can_not_work_are_refused(voice):
    with pytest.raises(ValueError, match="is no URL"):
        ServiceSynthesiser("localhost:9000", ["a"], "CC0")
    with pytest.raises(ValueError, match="at least one line"):
        voice(concurrency=0)
    assert voice(concurrency=2).version == voice().version != voice(revision="b").version
