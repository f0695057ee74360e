"""IEMOCAP: four classes, ratings by name, sessions held out."""

import pytest

from cogrl.data.corpora import iemocap

CODES = ("neu", "ang", "exc", "hap", "sad", "fru", "xxx", "sur")
RATINGS = "[1.0000, 3.0000, 5.0000]"


def corpus(root, wav, sessions=range(1, 6)):
    for number in sessions:
        name = f"Ses0{number}F_impro01"
        session = root / f"Session{number}"
        ratings, lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
        for turn, code in enumerate(CODES):
            utterance = f"{name}_{'FM'[turn % 2]}{turn:03d}"
            ratings += [f"[{turn}.2901 - {turn}.9357]\t{utterance}\t{code}\t{RATINGS}", "C-E2:\tNeutral;\t()", ""]
            lines.append(f"{utterance} [00{turn}.2901-00{turn}.9357]: Excuse me {turn}.")
            wav(session / "sentences" / "wav" / name / f"{utterance}.wav", 0.1)
        for folder, content in (("EmoEvaluation", ratings), ("transcriptions", lines)):
            (session / "dialog" / folder).mkdir(parents=True)
            (session / "dialog" / folder / f"{name}.txt").write_text("\n".join(content) + "\n")
        (session / "dialog" / "EmoEvaluation" / f"._{name}.txt").write_bytes(b"\x00\x05\x16\x07")
    return root


@pytest.fixture
def raw(tmp_path, wav):
    return corpus(tmp_path / "IEMOCAP_full_release", wav)


def test_four_classes_with_excitement_as_happy_and_the_rest_counted(raw, written):
    reading = iemocap.read(raw)
    assert reading.dropped == {"label fru": 5, "label xxx": 5, "label sur": 5}
    splits, _ = written(reading)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 15, "val": 5, "test": 5}
    assert [e.emotion for e in splits["test"]] == ["neutral", "anger", "happy", "happy", "sad"]
    assert splits["test"][0].text == "Excuse me 0." and splits["test"][0].id == "iemocap-Ses05F_impro01_F000"


def test_ratings_are_valence_activation_dominance_in_this_order(raw):
    for example in iemocap.read(raw).splits["train"]:
        assert (example.valence, example.arousal, example.dominance) == (-1, 0, 1)


def test_the_speaker_is_who_speaks_not_who_wears_the_markers(raw):
    splits = iemocap.read(raw).splits
    assert {e.speaker for e in splits["test"]} == {"iemocap-Ses05F", "iemocap-Ses05M"}
    assert {e.speaker for e in splits["val"]} == {"iemocap-Ses04F", "iemocap-Ses04M"}
    assert all(e.speaker[-1] == e.id.rsplit("_", 1)[1][0] for e in splits["train"])


def test_all_emotions_and_other_sessions_are_a_choice(raw):
    reading = iemocap.read(raw, test_session=1, val_session=2, labels=iemocap.SEVEN)
    assert [e.emotion for e in reading.splits["test"]][-1] == "surprise" and "label sur" not in reading.dropped
    assert {e.speaker[:13] for e in reading.splits["test"]} == {"iemocap-Ses01"}
    with pytest.raises(ValueError, match="must be two of 1 to 5"):
        iemocap.read(raw, test_session=5, val_session=5)
    with pytest.raises(ValueError, match="must be two of 1 to 5"):
        iemocap.read(raw, test_session=6)


def test_a_rating_off_the_scale_is_left_out_and_counted(raw):
    path = raw / "Session5/dialog/EmoEvaluation/Ses05F_impro01.txt"
    path.write_text(path.read_text().replace(RATINGS, "[1.0000, 5.5000, 5.0000]", 1))
    reading = iemocap.read(raw)
    first = reading.splits["test"][0]
    assert (first.valence, first.arousal, first.dominance) == (-1, None, 1)
    assert reading.dropped["rating outside 1-5 (the clip is kept without it)"] == 1


def test_a_missing_session_folder_or_clip_is_named(raw, tmp_path):
    (raw / "Session2/sentences/wav/Ses02F_impro01/Ses02F_impro01_F000.wav").unlink()
    with pytest.raises(ValueError, match=r"iemocap-Ses02F_impro01_F000: .*no such audio file"):
        iemocap.read(raw)
    (raw / "Session3/dialog/transcriptions").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match=r"expected .*Session3/dialog/transcriptions; .*sail.usc.edu"):
        iemocap.read(raw)
    dropped = iemocap.read(raw, partial=True).dropped
    assert dropped["no transcript"] == 5 and dropped["audio is missing, empty or damaged"] == 1
    with pytest.raises(FileNotFoundError, match="expected the folders Session1 to Session5"):
        iemocap.read(tmp_path / "away")


def test_transcripts_in_cp1252_are_decoded_and_unknown_bytes_counted_never_kept(raw, written):
    path = raw / "Session5/dialog/transcriptions/Ses05F_impro01.txt"
    text = path.read_text().replace("Excuse me 0.", "It’s me, José.").replace("Excuse me 1.", "Excuse ? 1.")
    path.write_bytes(text.encode("cp1252").replace(b"Excuse ?", b"Excuse \x9d"))
    reading = iemocap.read(raw)
    assert [e.text for e in reading.splits["test"]][:2] == ["It’s me, José.", "Excuse me 2."]
    splits, card = written(reading)
    assert "characters that can not be read (U+FFFD, control characters): 1" in card and len(splits["test"]) == 4


def test_an_evaluation_that_is_cut_in_mid_line_is_named_and_with_partial_counted(raw):
    path = raw / "Session5/dialog/EmoEvaluation/Ses05F_impro01.txt"
    lines = path.read_text().split("\n")
    last = max(number for number, line in enumerate(lines) if line.startswith("["))
    path.write_text("\n".join([*lines[:last], lines[last][:40]]))
    with pytest.raises(ValueError, match=rf"Ses05F_impro01\.txt:{last + 1}: an utterance has time, name, code"):
        iemocap.read(raw)
    assert iemocap.read(raw, partial=True).dropped["line of EmoEvaluation is cut or damaged"] == 1


def test_old_line_ends_and_upper_case_suffixes_are_read(raw):
    for path in raw.rglob("Ses0*_impro01.txt"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))
        path.rename(path.with_suffix(".TXT"))
    for path in list(raw.rglob("*.wav")):
        path.rename(path.with_suffix(".WAV"))
    assert {name: len(rows) for name, rows in iemocap.read(raw).splits.items()} == {"train": 15, "val": 5, "test": 5}
