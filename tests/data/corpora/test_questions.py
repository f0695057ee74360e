"""AVQA and AudioMCQ: rows read as they are published, the rest refused by name or counted, a slice held out by file."""

import json

import pytest

from cogrl.cli.main import main
from cogrl.data.corpora import audiomcq, avqa
from cogrl.data.manifest import read_manifest

CHOICES = ["motorboat", "Yacht consignment", "Sailboat set sail", "Consignment car"]


def avqa_row(n: int, **change) -> dict:
    row = {"id": n, "video_name": f"-HG3_{n:06d}", "video_id": n, "question_text": "What happened in the video?"}
    row |= {"multi_choice": CHOICES, "answer": n % 4, "question_relation": ("View", "Sound")[n % 2]}
    row |= {"question_type": "Happening", "dataset_name": "AVQA", "audio_path": f"wavs/{n // 2}.wav"}
    return {key: value for key, value in (row | change).items() if value is not None}


def audiomcq_row(n: int, **change) -> dict:
    row = {"id": n, "source_dataset": "Clotho", "question_type": "sound", "audio_path": f"clips/{n // 2}.wav"}
    row |= {"question": "What is heard?", "choices": CHOICES, "answer": CHOICES[n % 4], "gemini_cot": "I hear…"}
    row |= {"audio-contribution": ("weak", "strong")[n % 2]}
    return {key: value for key, value in (row | change).items() if value is not None}


KINDS = {
    "avqa": (avqa, avqa_row, "train_qa.jsonl", "multi_choice"),
    "audiomcq": (audiomcq, audiomcq_row, "data.jsonl", "choices"),
}


@pytest.fixture(params=KINDS)
def corpus(request, tmp_path, wav):
    """`corpus(n, changes)`: the reader and a folder with n rows, two a clip; `changes` by row."""
    reader, row, name, choices = KINDS[request.param]

    def build(n: int = 40, changes=None):
        rows = [row(i, **(changes or {}).get(i, {})) for i in range(n)]
        for one in rows:
            if "audio_path" in one:
                wav(tmp_path / "raw" / one["audio_path"], 0.1)
        (tmp_path / "raw" / name).write_text("".join(json.dumps(one) + "\n" for one in rows))
        return reader, tmp_path / "raw"

    build.choices, build.list, build.kind = choices, name, request.param
    return build


def questions(reading):
    return [example for rows in reading.splits.values() for example in rows]


def test_every_row_is_a_question_with_the_text_of_its_right_choice(corpus, written):
    reader, raw = corpus()
    splits, card = written(reader.read(raw, held_out=0.3))
    found = {example.id.rpartition("-")[2]: example for rows in splits.values() for example in rows}
    assert len(found) == 40 and "Nothing was dropped" in card
    for n in range(40):
        example = found[str(n)]
        assert example.answer == CHOICES[n % 4] and sorted(example.choices) == sorted(CHOICES)
        assert "video" not in example.question and (example.task, example.language) == (example.task, "en")
        assert not (example.text or example.speaker or example.emotion)


def test_the_held_out_slice_is_drawn_by_seed_and_shares_no_file(corpus):
    reader, raw = corpus(200)
    reading = reader.read(raw, held_out=0.3)
    train, val = ({e.audio for e in reading.splits[name]} for name in ("train", "val"))
    assert not train & val and 15 <= len(val) <= 45 and len(train) + len(val) == 100
    repeated, other = (reader.read(raw, held_out=0.3, seed=seed) for seed in (0, 1))
    assert repeated.splits == reading.splits
    assert {e.audio for e in other.splits["val"]} != val
    assert not reader.read(raw, held_out=0.0).splits["val"]
    for share in (1.0, -0.1):
        with pytest.raises(ValueError, match=r"--held-out .* must be at least 0 and less than 1"):
            reader.read(raw, held_out=share)


def test_choices_come_in_an_order_of_the_seed_or_as_the_file_has_them(corpus):
    reader, raw = corpus(200)
    kept = questions(reader.read(raw, keep_order=True))
    assert {example.choices for example in kept} == {tuple(CHOICES)}
    shuffled = questions(reader.read(raw))
    assert len({example.choices for example in shuffled}) == 24
    places = [example.choices.index(example.answer) for example in shuffled]
    assert all(30 < places.count(place) < 70 for place in range(4))
    assert questions(reader.read(raw)) == shuffled != questions(reader.read(raw, seed=1))


BAD = {
    "answer": ({"answer": 9}, "answer"),
    "no answer": ({"answer": None}, "has no answer"),
    "one choice": (None, "choices must be two or more"),
    "alike": (None, "that read differently"),
    "no list": (None, "must be a list of texts"),
    "twice": ({"id": 0}, "comes twice, first at"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_row_that_can_not_be_asked_is_refused_by_line_or_counted_and_named(corpus, case):
    change, reason = BAD[case]
    given = {"one choice": ["a"], "alike": ["A dog", "a dog"], "no list": "abc"}
    reader, raw = corpus(6, {3: change or {corpus.choices: given[case]}})
    with pytest.raises(ValueError, match=reason) as caught:
        reader.read(raw)
    assert str(caught.value).startswith(f"{raw / corpus.list}:4 (")
    reading = reader.read(raw, partial=True)
    assert len(questions(reading)) == 5 and sum(reading.dropped.values()) == 1
    assert any(note.startswith(f"left out: {raw / corpus.list}:4 (") for note in reading.notes)


def test_a_broken_line_and_a_missing_clip_are_counted_too(corpus):
    reader, raw = corpus(6)
    with (raw / corpus.list).open("a") as file:
        file.write('{"id": \n[1]\n')
    next(raw.rglob("2.wav")).unlink()
    reading = reader.read(raw, partial=True)
    assert len(questions(reading)) == 4
    expected = {"row is no sound JSON": 1, "row is no object": 1, "audio is missing, empty or damaged": 2}
    assert reading.dropped == expected


def test_only_the_asked_relations_or_contributions_are_kept_and_the_others_counted(corpus):
    reader, raw = corpus(8)
    if corpus.kind == "avqa":
        reading = reader.read(raw, relations=("Sound",))
        assert reading.dropped == {"question_relation View": 4}
    else:
        reading = reader.read(raw, contribution="strong")
        assert reading.dropped == {"audio-contribution weak": 4}
        reader, raw = corpus(8, {2: {"audio-contribution": None}})
        with pytest.raises(ValueError, match="has no audio-contribution"):
            reader.read(raw, contribution="strong")
    assert len(questions(reading)) == 4


def test_the_command_writes_manifests_and_a_card(corpus, tmp_path, capsys):
    _, raw = corpus(40)
    flags = ["--held-out", "0.3", "--seed", "2", "--keep-order"]
    assert main(["build", corpus.kind, "--raw", str(raw), "--out", str(tmp_path / "out"), *flags]) == 0
    card = capsys.readouterr().out
    assert "note: choices: as in the file; val: 0.3 of the audio files, seed 2; no file is in two splits" in card
    rows = [row for name in ("train", "val") for row in read_manifest(tmp_path / "out" / f"{name}.jsonl")]
    assert len(rows) == 40 and {row.choices for row in rows} == {tuple(CHOICES)}
