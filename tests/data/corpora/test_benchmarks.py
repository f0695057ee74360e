"""MMAU, MMAR and MMSU in their official layouts: what becomes a question, and what is refused, by name."""

import json
from importlib import import_module

import pytest

from cogrl.data.corpora.benchmark import checked_item, named_choice
from cogrl.data.corpora.corpus import write_corpus
from cogrl.data.manifest import read_manifest

CHOICES = ["Man", "Woman", "Child", "Robot"]


def mmau_row(name, **changes):
    row = {"id": name, "audio_id": f"./test-mini-audios/{name}.wav", "question": "Who speaks?", "choices": CHOICES}
    row |= {"answer": "Man", "dataset": "AudioSet", "task": "sound", "split": "test-mini", "category": "Reasoning"}
    return row | {"sub-category": "Acoustic Source Inference", "difficulty": "medium"} | changes


def mmar_row(name, **changes):
    row = {"id": name, "audio_path": f"./audio/{name}.wav", "question": "Who speaks?", "choices": CHOICES}
    row |= {"answer": "Man", "modality": "mix-sound-speech", "category": "Signal Layer", "sub-category": "Anomaly"}
    return row | {"language": "zh", "url": "https://example.org", "timestamp": "00:00:01,00:00:09"} | changes


def mmsu_row(name, **changes):
    row = {"id": name, "audio_path": f"/somewhere/else/audio/{name}.wav", "question": "Who speaks?"}
    row |= dict(zip(("choice_a", "choice_b", "choice_c", "choice_d"), CHOICES, strict=True))
    row |= {"answer_gt": "Man", "task_name": "speaker_age", "category": "Perception", "sub-category": "Linguistics"}
    return row | {"sub-sub-category": "Phonology", "linguistics_sub_discipline": "Phonetics"} | changes


LAYOUTS = {
    "mmau": ("mmau-test-mini.json", "test-mini-audios", mmau_row),
    "mmar": ("MMAR-meta.jsonl", "audio", mmar_row),
    "mmsu": ("question/mmsu.jsonl", "audio", mmsu_row),
}


@pytest.fixture(params=LAYOUTS)
def benchmark(request, tmp_path, wav):
    """(reader, row, `write(rows)` -> raw folder with a clip for each of a, b, c)"""
    name, folder, row = LAYOUTS[request.param]
    path = tmp_path / "raw" / name
    for clip in "abc":
        wav(tmp_path / "raw" / folder / f"{clip}.wav")

    def write(rows, lines=path.suffix == ".jsonl"):
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(texts) if lines else "[" + ",\n".join(texts) + "]")
        return tmp_path / "raw"

    return import_module(f"cogrl.data.corpora.{request.param}"), row, write


def test_rows_become_questions_with_their_own_ids_and_their_clips(benchmark, tmp_path):
    reader, row, write = benchmark
    write_corpus(reader.read(write([row("a"), row("b")])), tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*.jsonl")
    first, second = read_manifest(path)
    assert [first.id, second.id] == ["a", "b"] and first.audio.resolve().is_file() and first.audio.stem == "a"
    assert first.question == "Who speaks?" and first.choices == tuple(CHOICES) and first.answer == "Man"
    assert first.task in ("sound", "mix-sound-speech", "speaker_age") and first.language is None
    assert "sha256" in (tmp_path / "out" / "CORPUS.md").read_text()


def test_the_list_may_be_an_array_or_lines_whatever_its_suffix_says(benchmark):
    reader, row, write = benchmark
    for lines in (True, False):
        reading = reader.read(write([row("a"), row("b")], lines))
        assert [e.id for rows in reading.splits.values() for e in rows] == ["a", "b"] and not reading.dropped


BROKEN = {
    "no question": (dict(question=" "), "needs question as text"),
    "no audio": (dict(audio_id=None, audio_path=None), "needs audio"),
    "twice": (dict(id="a"), r"\(a\): this id comes twice, first at .*"),
    "control": (dict(question="Who \x00?"), "question holds a NUL character"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_row_is_named_with_its_reason_and_left_out_only_when_asked(benchmark, kind):
    changes, reason = BROKEN[kind]
    reader, row, write = benchmark
    raw = write([row("a"), row("b") | changes, row("c")])
    with pytest.raises(ValueError, match=rf"1 rows can not be asked; --partial leaves them out\n.*(?s:{reason})"):
        reader.read(raw)
    reading = reader.read(raw, partial=True)
    assert [e.id for rows in reading.splits.values() for e in rows] == ["a", "c"]
    assert reading.dropped == {"row is broken": 1} and any(changes.get("id", "b") in note for note in reading.notes[1:])


@pytest.mark.parametrize(
    ("choices", "answer", "reason"),
    [
        (["Man", "Man", "Child"], "Man", "two or more different choices"),
        (["Man"], "Man", "two or more different choices"),
        (["Man", None, "Child"], "Man", "choices must be a list of texts"),
        (["Man", "Woman"], "Robot", r"answer 'Robot' is none of the choices \['Man', 'Woman'\]"),
        (["Man", "Woman"], 1, "answer|text"),
    ],
)
def test_choices_that_can_not_be_told_apart_and_an_answer_that_is_none_of_them_are_refused(
    benchmark, choices, answer, reason
):
    reader, row, _ = benchmark
    letters = dict(zip(("choice_a", "choice_b", "choice_c", "choice_d"), [*choices, None, None, None], strict=False))
    with pytest.raises(ValueError, match=reason):
        checked_item(row("a", choices=choices, answer=answer, answer_gt=answer, **letters), reader.item)


def test_a_line_that_is_no_object_is_named_and_the_others_are_read(benchmark):
    reader, row, write = benchmark
    raw = write([row("a"), "7", row("b")])
    with pytest.raises(ValueError, match=r"(:2|\[1\]) \(no id\): a row must be a JSON object, got '7'"):
        reader.read(raw)
    assert reader.read(raw, partial=True).dropped == {"row is broken": 1}


def test_an_array_cut_off_in_the_middle_is_refused_as_a_whole(benchmark):
    reader, row, write = benchmark
    raw = write([row("a")], lines=False)
    path = next(raw.rglob("*.json*"))
    path.write_text(path.read_text()[:-9])
    with pytest.raises(ValueError, match=r"not JSON.*get the file again"):
        reader.read(raw, partial=True)


def test_missing_audio_is_named_by_id_and_place_and_counted(benchmark):
    reader, row, write = benchmark
    raw = write([row("a"), row("zz")])
    with pytest.raises(ValueError, match="1 clips can not be read") as caught:
        reader.read(raw)
    assert "zz.wav" in str(caught.value)
    reading = reader.read(raw, partial=True)
    assert reading.dropped == {"audio is missing, empty or damaged": 1}
    assert reading.notes[-1].startswith("zz: no usable audio at ")


def test_a_withheld_answer_is_asked_and_an_answer_in_other_case_is_the_choice(benchmark):
    reader, row, _ = benchmark
    assert reader.item(row("a", answer=" man ", answer_gt=" man ")).answer == "Man"
    if reader.__name__.endswith("mmau"):
        assert reader.item(row("a", answer="")).answer is None and reader.item(row("a", answer=None)).answer is None
    else:
        with pytest.raises(ValueError, match="needs answer"):
            reader.item(row("a", answer=None, answer_gt=None))


@pytest.mark.parametrize(
    ("answer", "choice"),
    [("(B) C major", "C major"), ("B. C major", "C major"), ("(A) C major", "(A) C major"), ("(Z) x", "(Z) x")],
)
def test_a_letter_in_front_of_the_answer_alone_goes_only_with_its_own_choice(answer, choice):
    assert named_choice(answer, ("Bb minor", "C major")) == choice


def test_mmau_test_and_test_mini_become_two_splits(tmp_path, wav):
    from cogrl.data.corpora import mmau

    for split in ("test-mini", "test"):
        row = mmau_row(split, audio_id=f"./{split}-audios/{split}.wav", split=split)
        (tmp_path / f"mmau-{split}.json").write_text(json.dumps([row | ({"answer": ""} if split == "test" else {})]))
        wav(tmp_path / f"{split}-audios" / f"{split}.wav")
    splits = mmau.read(tmp_path).splits
    assert {name: [e.id for e in rows] for name, rows in splits.items()} == {
        "test-mini": ["test-mini"],
        "test": ["test"],
    }
    assert splits["test"][0].answer is None and splits["test-mini"][0].answer == "Man"
    row = mmau_row("x", split="dev")
    (tmp_path / "mmau-test.json").write_text(json.dumps([row]))
    with pytest.raises(ValueError, match="split 'dev' is none of test-mini, test"):
        mmau.read(tmp_path)


def test_mmar_prefers_its_lines_over_its_older_array(tmp_path, wav):
    from cogrl.data.corpora import mmar

    wav(tmp_path / "audio" / "a.wav")
    (tmp_path / "MMAR-meta.json").write_text(json.dumps([mmar_row("a", answer="Woman")]))
    (tmp_path / "MMAR-meta.jsonl").write_text(json.dumps(mmar_row("a")))
    assert [e.answer for e in mmar.read(tmp_path).splits["test"]] == ["Man"]


def test_mmsu_questions_with_two_choices_keep_two_and_a_gap_is_refused():
    from cogrl.data.corpora import mmsu

    assert mmsu.item(mmsu_row("a", choice_c=None, choice_d="")).choices == ("Man", "Woman")
    with pytest.raises(ValueError, match="choices must be a list of texts"):
        mmsu.item(mmsu_row("a", choice_b=None))
