"""LIME-440K: the punctuation that gives the emotion away, groups, intensity from the path, texts held out."""

import json

import pytest

from cogrl.data.corpora import lime
from cogrl.words import words

MARKS = {
    "ANGER": "！",
    "HAPPY": "～",
    "SAD": "......",
    "SURPRISE": "？！",
    "FEAR": "……",
    "DISGUST": "。",
    "NEUTRAL": "。",
}
LEVELS = ("low", "medium", "high")


def record(speaker, number, emotion, text, group):
    name = f"{speaker}_{number}_{emotion.lower()}"
    path = f"/{speaker}/{LEVELS[number % 3]}/{name}.wav"
    return name, {"text": text, "emotion": emotion, "scenario": "Travel", "group": group, "wav_path": path}


def part(raw, wav, folder="PartA_json_CN", audio="PartA_wav", speakers=(1, 10), groups=3, text="票订好了，{}号"):
    for speaker in speakers:
        records, number = {}, 0
        for group in range(groups):
            for emotion, mark in MARKS.items():
                name, entry = record(speaker, number, emotion, text.format(group) + mark, f"{speaker}_g_{group}")
                records[name], number = entry, number + 1
                wav(raw / audio / entry["wav_path"].lstrip("/"), 0.1, 22_050)
        (raw / folder).mkdir(parents=True, exist_ok=True)
        (raw / folder / f"{speaker}.json").write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    return raw


@pytest.fixture
def raw(tmp_path, wav):
    part(tmp_path / "LIME", wav)
    return part(tmp_path / "LIME", wav, "PartB_json_EN", "PartB_wav", text="The tickets, number {}, are booked")


def change(path, name, **values):
    content = json.loads(path.read_text(encoding="utf-8"))
    content[name] |= values
    path.write_text(json.dumps(content), encoding="utf-8")


def test_labels_intensities_and_speakers_come_from_where_the_layout_has_them(raw, written):
    reading = lime.read(raw)
    assert not reading.dropped and reading.disjoint == ("text_group",)
    splits, _ = written(reading, convert=True)
    everything = {e.id: e for rows in splits.values() for e in rows}
    assert len(everything) == 84
    first, last = everything["lime-A-low-1_0_anger"], everything["lime-B-high-10_20_neutral"]
    assert (first.emotion, first.intensity, first.speaker, first.language) == ("anger", "low", "lime-A-1", "zh")
    assert (last.emotion, last.intensity, last.speaker, last.language) == ("neutral", "high", "lime-B-10", "en")
    assert everything["lime-A-medium-1_1_happy"].intensity == "mid" and first.scenario == "Travel"
    assert first.synthesis == {"group": "1_g_0"} and first.duration_s == pytest.approx(0.1, abs=1e-3)


def test_punctuation_tells_nothing_about_the_emotion_any_more(raw):
    reading = lime.read(raw)
    groups = {}
    for e in (e for rows in reading.splits.values() for e in rows):
        groups.setdefault((e.id[:6], e.synthesis["group"]), set()).add(e.text)
    assert len(groups) == 12 and all(len(texts) == 1 for texts in groups.values())
    assert {text for texts in groups.values() for text in texts if text.endswith("。")} == {
        f"票订好了{n}号。" for n in range(3)
    }
    assert {text for texts in groups.values() for text in texts if text.endswith(".")} == {
        f"the tickets number {n} are booked." for n in range(3)
    }
    assert "PartA: punctuation differed by emotion within 6 groups; normalised in all" in reading.notes


def test_a_corpus_without_the_leak_reports_none(tmp_path, wav, monkeypatch):
    monkeypatch.setattr("test_lime.MARKS", dict.fromkeys(MARKS, "。"))
    raw = part(tmp_path, wav)
    assert lime.read(raw, partial=True).notes == [
        "PartA: punctuation differed by emotion within 0 groups; normalised in all"
    ]


def test_no_words_are_in_two_splits_and_the_draw_is_the_seed_s(tmp_path, wav):
    raw = part(tmp_path, wav, groups=12, speakers=(1, 2))
    one, same, other = (lime.read(raw, 0.25, 0.25, seed, partial=True).splits for seed in (0, 0, 1))
    owner = {}
    for split, rows in one.items():
        assert len(rows) % 14 == 0 and rows
        for e in rows:
            assert owner.setdefault(words(e.text), split) == split == e.split
    assert one == same != other


def test_groups_with_other_words_and_clips_without_words_are_counted(raw):
    change(raw / "PartB_json_EN" / "1.json", "1_0_anger", text="The tickets, number 0, were booked!")
    change(raw / "PartB_json_EN" / "10.json", "10_0_anger", text="")
    change(raw / "PartB_json_EN" / "10.json", "10_1_happy", text=None)
    change(raw / "PartA_json_CN" / "1.json", "1_0_anger", emotion="BOREDOM")
    reading = lime.read(raw)
    assert reading.dropped == {"group holds different words": 7, "no transcript": 2, "label BOREDOM": 1}


def test_a_part_or_its_audio_that_is_missing_is_named(raw, tmp_path):
    (raw / "PartB_wav").rename(tmp_path / "audio")
    with pytest.raises(FileNotFoundError, match=r"1/low/1_0_anger.wav is in none of .*unpack .*PartB_wav.*huggingface"):
        lime.read(raw)
    (raw / "PartB_json_EN").rename(tmp_path / "json")
    with pytest.raises(FileNotFoundError, match=r"expected .*PartB_json_EN; the download is incomplete"):
        lime.read(raw)
    assert sum(len(rows) for rows in lime.read(raw, partial=True).splits.values()) == 42
    with pytest.raises(FileNotFoundError, match=r"expected PartA_json_CN/\*.json.*zhaoxiaoxian"):
        lime.read(tmp_path / "json")


def test_a_broken_file_or_record_is_named(raw):
    path = raw / "PartA_json_CN" / "1.json"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[:-9], encoding="utf-8")
    with pytest.raises(ValueError, match=r"PartA_json_CN/1.json:1: not JSON"):
        lime.read(raw)
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"1.json: must be an object keyed by utterance id, got list"):
        lime.read(raw)
    path.write_text('{"1_0_anger": {"text": "x", "emotion": "SAD"}}')
    with pytest.raises(ValueError, match=r"1.json: 1_0_anger: missing scenario, group, wav_path"):
        lime.read(raw)


def test_shares_that_leave_nothing_to_train_on_are_refused(raw):
    with pytest.raises(ValueError, match="must leave something for training"):
        lime.read(raw, val_share=0.5, test_share=0.5)


def test_partial_builds_the_rest_when_the_first_file_and_a_field_of_a_record_are_missing(raw, written):
    (raw / "PartA_wav" / "1/low/1_0_anger.wav").unlink()
    path = raw / "PartB_json_EN" / "1.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["1_3_surprise"]["scenario"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"PartB_json_EN/1.json: 1_3_surprise: missing scenario"):
        lime.read(raw)
    splits, card = written(lime.read(raw, partial=True), convert=True)
    ids = {e.id for rows in splits.values() for e in rows}
    assert len(ids) == 82 and not ids & {"lime-A-low-1_0_anger", "lime-B-low-1_3_surprise"}
    assert "- audio is missing, empty or damaged: 1" in card and "- record without scenario: 1" in card


def test_a_first_file_that_is_missing_is_named_and_not_the_whole_part(raw):
    (raw / "PartA_wav" / "1/low/1_0_anger.wav").unlink()
    with pytest.raises(ValueError, match="1 clips can not be read; --partial leaves them out") as caught:
        lime.read(raw)
    assert "1_0_anger.wav: no such audio file" in str(caught.value)


def test_archives_that_unpack_into_several_folders_are_all_searched(raw):
    moved = raw / "PartA_wav_2" / "10"
    moved.parent.mkdir()
    (raw / "PartA_wav" / "10").rename(moved)
    assert sum(len(rows) for rows in lime.read(raw).splits.values()) == 84


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "file of records is broken"),
        ("[]", "file of records is broken"),
        (
            '{"1_0_a": {"text": "\\ud83d", "emotion": "SAD", "scenario": "", "group": "", "wav_path": ""}}',
            "record is damaged",
        ),
    ],
)
def test_partial_counts_broken_files_and_records(raw, content, reason):
    (raw / "PartB_json_EN" / "1.json").write_text(content)
    with pytest.raises(ValueError, match=r"PartB_json_EN/1\.json"):
        lime.read(raw)
    reading = lime.read(raw, partial=True)
    assert reading.dropped == {reason: 1} and sum(map(len, reading.splits.values())) == 63


def test_an_utterance_that_is_there_twice_in_one_file_is_refused(raw):
    path = raw / "PartA_json_CN" / "1.json"
    one = json.dumps(json.loads(path.read_text(encoding="utf-8"))["1_0_anger"])
    path.write_text(f'{{"1_0_anger": {one}, "1_0_anger": {one}}}')
    with pytest.raises(ValueError, match=r"1\.json: key '1_0_anger' comes twice"):
        lime.read(raw)


def test_a_part_whose_lists_are_empty_is_named_and_counted(raw):
    for path in (raw / "PartB_json_EN").glob("*.json"):
        path.write_text("{}")
    with pytest.raises(ValueError, match="PartB_json_EN holds no utterances"):
        lime.read(raw)
    assert lime.read(raw, partial=True).dropped == {"part without utterances": 1}
