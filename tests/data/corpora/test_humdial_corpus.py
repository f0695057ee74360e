"""HumDial track 1: history with audio, the turn to answer, task names of both releases, broken lines."""

import json

import pytest

from cogrl.data.corpora import humdial

EMOTIONS = ("neutral", "happy", "Sad", "neutral")


def dialogue(name, emotions=EMOTIONS, form="text", replies=True):
    keys = ("text", "emotion") if form == "text" else ("input_text", "input_emotion")
    return {
        "dialogue_id": name,
        "turns": [
            {"turn_id": n, keys[0]: f"Turn {n}.", keys[1]: emotion, "split_audio_file": f"audio/{name}_{n}.wav"}
            | ({"response_text": f"assistant\nReply {n}."} if replies else {})
            for n, emotion in reversed(list(enumerate(emotions, start=1)))
        ],
    }


def listing(folder, wav, stem, dialogues):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.jsonl").write_text("".join(json.dumps(d) + "\n" for d in dialogues))
    for d in dialogues:
        for turn in d["turns"]:
            wav(folder / stem / f"{d['dialogue_id']}_{turn['turn_id']}.wav", 0.1 * turn["turn_id"])


@pytest.fixture
def raw(tmp_path, wav):
    root = tmp_path / "HumDial"
    for language in ("zh", "en"):
        train, test = root / "train" / language, root / "HD-Track1-Test" / language
        listing(train, wav, "task1", [dialogue(f"task1_{language}_1", ("angry",))])
        listing(train, wav, "task2_3", [dialogue(f"task2_3_{language}_1"), dialogue(f"task2_3_{language}_2")])
        listing(train, wav, "task3_4", [dialogue(f"task3_4_{language}_1", form="input")])
        listing(root / "dev" / language, wav, "task4", [dialogue(f"task4_{language}_1")])
        listing(test, wav, "HD-Track1-T1", [dialogue(f"task2_5_{language}_0007", replies=False)])
        listing(test, wav, "HD-Track1-T3", [dialogue(f"task3_5_{language}_0008", replies=False)])
    return root


def by_id(reading):
    return {e.id: e for rows in reading.splits.values() for e in rows}


def test_every_release_gives_its_split_task_and_language(raw, written):
    splits, card = written(humdial.read(raw))
    found = {(name, e.task, e.language) for name, rows in splits.items() for e in rows}
    tasks = {
        "train": ("recognition", "trajectory", "reasoning"),
        "val": ("empathy",),
        "test": ("trajectory", "empathy"),
    }
    assert found == {(s, task, lang) for s, names in tasks.items() for task in names for lang in ("zh", "en")}
    assert len(splits["train"]) == 8 and "disjoint: [text_group, speaker]" in card


def test_the_question_is_the_last_turn_and_the_history_has_audio_and_replies(raw):
    example = by_id(humdial.read(raw))["humdial-train-en-task2_3-task2_3_en_1"]
    assert example.text == "Turn 4." and example.emotion == "neutral" and example.duration_s == pytest.approx(0.4)
    assert [turn.text for turn in example.turns] == ["Turn 1.", "Turn 2.", "Turn 3."]
    assert [turn.emotion for turn in example.turns] == ["neutral", "happy", "sad"]
    assert [turn.reply for turn in example.turns] == ["Reply 1.", "Reply 2.", "Reply 3."]
    assert [turn.duration_s for turn in example.turns] == pytest.approx([0.1, 0.2, 0.3])
    assert example.targets == {"direct": "Reply 4."}


def test_the_test_set_has_no_replies_and_no_targets(raw):
    example = by_id(humdial.read(raw))["humdial-test-en-HD-Track1-T1-task2_5_en_0007"]
    assert example.targets == {} and [turn.reply for turn in example.turns] == [None] * 3


@pytest.mark.parametrize(("which", "text"), [("second", "Turn 3."), ("last", "Turn 5.")])
def test_an_empathetic_answer_is_due_at_the_second_or_the_last_turn_with_feeling(raw, wav, which, text):
    emotions = ("neutral", "happy", "sad", "neutral", "angry")
    listing(raw / "dev" / "en", wav, "task4", [dialogue("task4_en_9", emotions), dialogue("task4_en_8", ("sad",) * 1)])
    reading = humdial.read(raw, empathy_turn=which)
    assert by_id(reading)["humdial-val-en-task4-task4_en_9"].text == text
    assert ("humdial-val-en-task4-task4_en_8" in by_id(reading)) == (which == "last")
    assert reading.dropped["empathy: no second turn that is not neutral"] == (which == "second")


def test_labels_without_a_counterpart_stay_open_and_are_counted(raw, wav):
    listing(raw / "train" / "en", wav, "task2_3", [dialogue("task2_3_en_1", ("relieved", "happy", "proud"))])
    listing(raw / "train" / "en", wav, "task1", [dialogue("task1_en_1", ("relieved",))])
    reading = humdial.read(raw)
    example = by_id(reading)["humdial-train-en-task2_3-task2_3_en_1"]
    assert example.emotion is None and [turn.emotion for turn in example.turns] == [None, "happy"]
    assert reading.dropped["label relieved of a turn (the turn is kept without it)"] == 2
    assert reading.dropped["a single turn without a label"] == 1
    assert "humdial-train-en-task1-task1_en_1" not in by_id(reading)


def test_dialogues_withdrawn_from_the_test_are_dropped(raw, wav):
    names = ("task2_4_en_0002_0014", "task2_3_zh_0015", "task2_5_zh_0015_1", "task2_3_zh_0016")
    listing(raw / "HD-Track1-Test" / "en", wav, "HD-Track1-T1", [dialogue(name) for name in names])
    reading = humdial.read(raw)
    assert reading.dropped == {"withdrawn by the organisers": 3}
    assert "humdial-test-en-HD-Track1-T1-task2_3_zh_0016" in by_id(reading)


def test_a_broken_line_dialogue_or_clip_is_named_with_file_and_line(raw):
    path = raw / "train" / "en" / "task2_3.jsonl"
    whole = path.read_text()
    for broken, reason in (
        (whole[:-5], r"task2_3.jsonl:2: not JSON"),
        (whole + "[1]\n", r"task2_3.jsonl:3: a dialogue is an object with dialogue_id"),
        (whole + '{"dialogue_id": "x", "turns": []}\n', r"task2_3.jsonl:3 \(x\): turns must be a list of objects"),
        (whole + '{"dialogue_id": "x", "turns": [{"emotion": "sad"}]}', r"task2_3.jsonl:3 \(x\), turn 1: has no text"),
    ):
        path.write_text(broken)
        with pytest.raises(ValueError, match=reason):
            humdial.read(raw)
    path.write_text(whole)
    (raw / "train" / "en" / "task2_3" / "task2_3_en_2_2.wav").unlink()
    with pytest.raises(ValueError, match=r"humdial-train-en-task2_3-task2_3_en_2, turn 2: .*no such audio file"):
        humdial.read(raw)
    assert humdial.read(raw, partial=True).dropped == {"audio is missing, empty or damaged": 1}


def test_a_missing_language_or_release_is_named(raw, tmp_path):
    (raw / "dev" / "zh").rename(tmp_path / "zh")
    with pytest.raises(FileNotFoundError, match=r"HumDial track 1: expected .*dev/zh; the download is incomplete"):
        humdial.read(raw)
    assert len(humdial.read(raw, partial=True).splits["val"]) == 1
    with pytest.raises(FileNotFoundError, match=r"expected one of train/\{zh,en\}/\*.jsonl.*HumDial-Challenge"):
        humdial.read(tmp_path / "zh")


@pytest.mark.parametrize("name", ["val", "valid", "DEV"])
def test_the_folder_of_the_validation_split_may_have_any_of_its_names(raw, name):
    (raw / "dev").rename(raw / name)
    assert len(humdial.read(raw).splits["val"]) == 2


def test_upper_case_suffixes_and_other_audio_are_found(raw):
    for clip in list(raw.rglob("*.wav")):
        clip.rename(clip.with_suffix(".WAV"))
    for path in list(raw.rglob("*.jsonl")):
        path.rename(path.with_suffix(".JSONL"))
    assert sum(map(len, humdial.read(raw).splits.values())) == 14


def test_broken_lines_and_dialogues_are_counted_with_partial_and_the_rest_is_built(raw):
    path = raw / "train" / "en" / "task2_3.jsonl"
    bad = ['{"dialogue_id": "x", "turns": []}', "{", '{"dialogue_id": "y", "turns": [{"turn_id": "two", "text": "a"}]}']
    bad.append('{"dialogue_id": "z", "turns": [{"text": "a\\ud83d"}]}')
    path.write_text("\n".join([*path.read_text().splitlines(), *bad]))
    with pytest.raises(ValueError, match=r"task2_3\.jsonl:3 \(x\)"):
        humdial.read(raw)
    reading = humdial.read(raw, partial=True)
    assert reading.dropped == {"line of a list is broken": 4} and len(reading.splits["train"]) == 8


def test_a_byte_order_mark_and_a_line_separator_inside_a_text_are_no_line_ends(raw):
    path = raw / "train" / "en" / "task1.jsonl"
    record = json.loads(path.read_text())
    record["turns"][0]["text"] = "One\u2028two."
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(record, ensure_ascii=False).encode() + b"\n")
    assert by_id(humdial.read(raw))["humdial-train-en-task1-task1_en_1"].text == "One\u2028two."
