"""HumDial's task 3 spoken: a judge and a listener hear the replies, up to the final score."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from challenge_layout import task_of, write_challenge
from judge_server import judge_server

from cogrl.audio import load_audio
from cogrl.cli.main import main
from cogrl.data.corpora.humdial import challenge_dialogues
from cogrl.evaluate.humdial import TASKS, Dialogue, Turn, language_of, read_dialogues
from cogrl.evaluate.humdial_answers import Reply, answered, write_answers
from cogrl.evaluate.humdial_final import AUDIO_JUDGE
from cogrl.evaluate.humdial_judge import judge_dialogues
from cogrl.evaluate.humdial_voice import congruence
from cogrl.models.emotion_mel import MelEmotion
from cogrl.rewards.spoken_emotion import read_listener
from cogrl.rollout.spoken import Speaking
from cogrl.types import EMOTIONS

EMPATHY = TASKS[3]
D1, D2, D3 = EMPATHY.dimensions
LABELS = {1: [("Happy", "neutral")], 2: [("angry",)], 3: [("Sad", "happy"), ("fear", "neutral", "Angry"), ("neutral",)]}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_challenge(tmp_path_factory.mktemp("humdial"), LABELS)


@pytest.fixture
def speaks(speaking_policy, workdir) -> str:
    """The tiny policy with a branch that seldom ends by itself."""
    decoder = speaking_policy.speech.decoder
    decoder.bias.data[:, decoder.end] = -2.0
    speaking_policy.save("policy")
    return "policy"


@pytest.fixture(scope="module")
def sharp_listener_dir(emotion_dir, tmp_path_factory):
    """The random encoder with a head that tells clips apart."""
    encoder = MelEmotion.read(emotion_dir)
    encoder.emotion_head.weight.data *= 40
    folder = tmp_path_factory.mktemp("encoder") / "sharp"
    encoder.save(folder)
    return folder


def graded(samples, rate) -> dict[str, int]:
    """What the judge of these tests makes of a voice: D3 by how long it is, D2 by its very samples."""
    codes = np.round(np.asarray(samples) * 32768).astype(int)
    return {D2: 1 + int(np.abs(codes).sum()) % 5, D3: min(5, 1 + int(5 * len(samples) / rate))}


def answer(body, n) -> str:
    """A judge that decodes what it is given to hear, and gives no points to a voice without."""
    (message,) = body["messages"]
    parts = message["content"]
    if isinstance(parts, str):
        task = task_of(parts)
        return json.dumps({"scores": dict.fromkeys(task.dimensions[: 3 if task.number < 3 else 1], 3)})
    sound, text = parts
    assert task_of(text["text"]) is EMPATHY and sound["input_audio"]["format"] == "wav"
    content = io.BytesIO(base64.b64decode(sound["input_audio"]["data"]))
    return json.dumps({"scores": {D1: 4} | graded(*soundfile.read(content))})


@pytest.fixture
def judge():
    with judge_server(answer) as running:
        yield running


def read_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def sent_with(judge, label):
    """The samples of the request about the dialogue whose judged turn has this label."""
    parts = [body["messages"][0]["content"] for body in judge.bodies]
    (sound,) = [
        one[0]["input_audio"]["data"] for one in parts if not isinstance(one, str) and f"({label})" in one[1]["text"]
    ]
    return soundfile.read(io.BytesIO(base64.b64decode(sound)))


def test_from_recordings_through_voices_to_the_final_score(speaks, raw, judge, sharp_listener_dir, workdir, capsys):
    asked = ["humdial", "run", str(raw), "--policy", speaks, "--base-url", judge.url, "--out", "out", "--speak"]
    limits = ["--max-new-tokens", "8", "--max-speech-s", "1.0", "--emotion-encoder", str(sharp_listener_dir)]
    assert main([*asked, *limits]) == 0
    shown, final = capsys.readouterr().out, json.loads((workdir / "out" / "final.json").read_text())
    *talks, unjudged = read_lines(workdir / "out" / "en-T3.jsonl")
    scores = json.loads((workdir / "out" / "en-T3.scores.json").read_text())
    voices = []
    for talk, place, judged in zip(talks, (1, 2), scores["judged"], strict=False):
        assert ["response_audio" in turn for turn in talk["turns"]] == [n == place for n in range(place + 1)]
        turn = talk["turns"][place]
        assert language_of(turn["response_text"]) == "en"  # what follows is about replies that are judged
        voices.append(soundfile.read(workdir / "out" / turn["response_audio"]))
        samples, rate = sent_with(judge, turn["emotion"])
        assert rate == 16_000 and np.array_equal(samples, voices[-1][0]) and 0.02 < len(samples) / rate <= 1.0
        assert judged["scores"] == {D1: 4} | graded(*voices[-1])
    assert not np.array_equal(voices[0][0], voices[1][0])
    assert not any("response_text" in turn for turn in unjudged["turns"])
    d2, d3 = (np.mean([graded(*voice)[name] for voice in voices]) for name in (D2, D3))
    points = [one["points"] for one in scores["listener"]["dialogues"][:2]]
    assert final["en"] | {"final": 0, "final_listener": 0} == pytest.approx(
        {"T1": 3, "T2": 3, "D1": 4, "D2": d2, "D3": d3, "D2_listener": np.mean(points), "final": 0, "final_listener": 0}
    )
    # every zh reply is in Latin letters: 1 point in all dimensions
    assert set(final["zh"].values()) == {1} and {"wrong language"} < set(
        json.loads((workdir / "out" / "zh-T3.scores.json").read_text())["dialogues"]
    )
    english = 0.2 * 3 + 0.2 * 3 + 0.1 * 4 + 0.25 * d2 + 0.25 * d3
    assert final["final"] == pytest.approx((1 + english) / 2)
    assert final["final_listener"] == pytest.approx((1 + english + 0.25 * (np.mean(points) - d2)) / 2)
    assert final["D2 and D3"] == scores["voice"] == AUDIO_JUDGE
    assert f"final {final['final']:.2f} (D2 and D3 {AUDIO_JUDGE})" in shown


def answers_file(folder, *turns):
    """A file of answers made elsewhere: dialogues of one judged turn, behind a sad one."""
    first = {"emotion": "sad", "text": "I lost it.", "response_text": "I am sorry."}
    records = [{"dialogue_id": f"d{n}", "turns": [first, {"text": "Oh."} | turn]} for n, turn in enumerate(turns)]
    (folder / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return ["humdial", "judge", str(folder / "a.jsonl"), "--task", "3", "--out", str(folder / "scores.json")]


@pytest.fixture
def two_wavs(tmp_path):
    """A low hum of 0.3 s and, sampled at another rate in two channels, 0.7 s of noise."""
    soundfile.write(tmp_path / "hum.wav", np.sin(np.arange(4800) / 30) / 8, 16_000)
    noise = np.random.default_rng(0).normal(0, 0.1, (16_800, 2))
    soundfile.write(tmp_path / "noise.wav", noise, 24_000)
    return "hum.wav", "noise.wav"


def test_replies_made_elsewhere_are_judged_and_measured_by_their_own_files(
    judge, two_wavs, sharp_listener_dir, tmp_path
):
    found = []
    for hum, noise in (two_wavs, two_wavs[::-1]):
        happy = {"emotion": "Happy", "response_text": "How nice.", "response_audio": hum}
        angry = {"emotion": "angry", "response_text": "Bad luck.", "response_audio": noise}
        asked = answers_file(tmp_path, happy, angry)
        assert main([*asked, "--base-url", judge.url, "--emotion-encoder", str(sharp_listener_dir)]) == 0
        record = json.loads((tmp_path / "scores.json").read_text())
        found.append(([one["scores"][D3] for one in record["judged"]], record["listener"]))
    assert [grades for grades, _ in found] == [[2, 4], [4, 2]]
    encoder = MelEmotion.read(sharp_listener_dir)
    tones = [EMOTIONS.index(tone) for tone in ("neutral", "happy", "sad", "surprise")]
    shares = {}
    for file in two_wavs:
        waveform = load_audio(tmp_path / file, 16_000, convert=True)
        chances = encoder.emotions([waveform])[0, tones]
        shares[file] = (chances / chances.sum()).tolist()
    for (first, second), (_, listener) in zip((two_wavs, two_wavs[::-1]), found, strict=True):
        expected = [1 + 4 * shares[first][1], 1 + 4 * shares[second][0]]  # joy is shared, anger is met calmly
        assert [one["points"] for one in listener["dialogues"]] == pytest.approx(expected, abs=1e-4)
        assert listener["D2"]["mean"] == pytest.approx(np.mean(expected), abs=1e-4)
    assert abs(shares[two_wavs[0]][1] - shares[two_wavs[1]][1]) > 0.01  # else nothing is told apart


def test_what_can_not_be_listened_to_has_one_point_or_no_figure(emotion_dir, two_wavs, tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "still.wav", np.zeros(16_000), 16_000)

    def talk(response, file, label="fear"):
        audio = tmp_path / file if file else None
        return Dialogue("d", (Turn("sad", "One.", "Yes."), Turn(label, "Two.", response, audio)))

    hum = two_wavs[0]
    talks = [talk("No.", "none.wav"), talk("No.", "still.wav"), talk("不。", hum), talk("", "none.wav")]
    talks += [talk("No.", None), talk("No.", hum, "wistful"), talk("No.", hum, "neutral"), talk("No.", hum)]
    says = []

    def ask(chats, settings):
        says.extend(chat[0]["content"] for chat in chats)
        return [json.dumps({"scores": {D1: 4, D2: 3, D3: 2}})] * len(chats)

    judged = judge_dialogues(EMPATHY, talks, ask)
    one, silent, every = [1, 1, 1], [4, 1, 1], [4, 3, 2]
    assert [list(found.scores.values()) for found in judged] == [silent, silent, one, one, [4], every, [], every]
    assert [isinstance(content, str) for content in says] == [True, True, True, False, False]
    assert [found.reason for found in judged][:3] == ["judged: no sound"] * 2 + ["wrong language"]
    points = [found.points for found in congruence(read_listener(str(emotion_dir)), EMPATHY, talks, None, "second")]
    assert points[:7] == [1, 1, 1, 1, None, None, None] and 1 < points[7] < 5


def test_where_nothing_is_spoken_no_voice_has_a_score():
    """Not even in the wrong language: else one such reply would make a D2, and a final score, of its own."""
    talks = [Dialogue("d", (Turn("sad", "One.", "Yes."), Turn("fear", "Two.", "不。")))]
    (found,) = judge_dialogues(EMPATHY, talks, lambda chats, settings: pytest.fail("asked"))
    assert found.scores == {D1: 1} and found.reason == "wrong language"


def test_each_reply_is_written_with_its_own_sound(raw, tmp_path):
    dialogues = challenge_dialogues(raw, "en", 3)[:2]
    dialogues[1] = replace(dialogues[1], id=dialogues[0].id)  # of one name: neither takes the other's file
    said = [[Reply("Yes."), Reply("No.", np.full(n, 0.1, np.float32), 8000, n < 900)] for n in (800, 960)]
    write_answers(tmp_path / "en-T3.jsonl", dialogues, said)
    first, second = (dialogue.turns for dialogue in read_dialogues(tmp_path / "en-T3.jsonl"))
    assert [turn.audio is not None for turn in (*first, *second)] == [False, True, False, True, False]
    found = [soundfile.info(turns[1].audio) for turns in (first, second)]
    assert [(info.frames, info.samplerate) for info in found] == [(800, 8000), (960, 8000)]
    finished = [talk["turns"][1]["response_audio_finished"] for talk in read_lines(tmp_path / "en-T3.jsonl")]
    assert finished == [True, False]


def test_a_reply_without_frames_is_a_file_without_samples(speaking_policy, raw, tmp_path):
    decoder = speaking_policy.speech.decoder
    decoder.bias.data[:, decoder.end] = 50.0
    dialogues = challenge_dialogues(raw, "en", 3)
    written = answered(speaking_policy, EMPATHY, dialogues, max_new_tokens=6)
    spoken = answered(speaking_policy, EMPATHY, dialogues, max_new_tokens=6, speaking=Speaking())
    assert [[one.text for one in said] for said in spoken] == [[one.text for one in said] for said in written]
    write_answers(tmp_path / "en-T3.jsonl", dialogues, spoken)
    audio = [turn.audio for dialogue in read_dialogues(tmp_path / "en-T3.jsonl") for turn in dialogue.turns]
    files = [file for file in audio if file]
    assert len(files) == len(set(files)) == 2 and all(soundfile.info(file).frames == 0 for file in files)


def test_what_can_not_be_spoken_or_listened_to_is_refused_before_anything_is_answered(
    tiny_policy_dir, speaks, raw, judge, emotion_dir, two_wavs, tmp_path, capsys
):
    run = ["humdial", "run", str(raw), "--base-url", judge.url, "--out", str(tmp_path / "out"), "--policy"]
    text = {"emotion": "fear", "response_text": "Yes."}
    encoder = ["--emotion-encoder", str(emotion_dir)]
    for asked, message in (
        ([*run, str(tiny_policy_dir), "--speak"], "has no Speak branch, so that --speak has nothing to speak with"),
        ([*run, speaks, *encoder], "--emotion-encoder listens to spoken replies; add --speak"),
        ([*run, speaks, "--speak", "--emotion-encoder", str(tmp_path)], str(tmp_path)),
        ([*answers_file(tmp_path, text), "--base-url", judge.url, *encoder], "names no file of one"),
    ):
        assert main(asked) == 2 and message in capsys.readouterr().err
    lacking = answers_file(tmp_path, text | {"response_audio": two_wavs[0]}, text | {"response_audio": "gone.wav"})
    assert main([*lacking, "--base-url", judge.url]) == 2
    shown = capsys.readouterr().err
    assert "d1" in shown and "gone.wav" in shown and judge.bodies == [] and not (tmp_path / "out").exists()
