"""Text, JSON and CSV as other people's tools write them: read as meant, or refused by `file:line`."""

import json

import pytest

from cogrl.data.json_text import damage, parse_json
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.lime_grammar import ListWriter
from cogrl.data.table import read_table
from cogrl.data.text_file import decoded

LINE = {
    "id": "c1",
    "audio": "c1.flac",
    "split": "sft",
    "text": "Well.",
    "text_group": "t1",
    "speaker": "s1",
    "emotion": "sad",
}
QUESTION = {"question": "Which?", "choices": ["a", "b"], "answer": "a"}
HALF = "\ud83d"


def manifest(tmp_path, *records) -> str:
    path = tmp_path / "m.jsonl"
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
    return path


def error_message(tmp_path, record) -> str:
    path = manifest(tmp_path, LINE, record)
    with pytest.raises(ValueError) as caught:
        read_manifest(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:2"), message
    message.encode()  # it can be printed, logged and written
    return message.removeprefix(f"{path}:2")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_manifest_with_a_byte_order_mark_is_read_also_in_the_middle_of_joined_files(tmp_path, ends):
    one, two = (json.dumps(LINE | {"id": name}) for name in ("a", "b"))
    (tmp_path / "m.jsonl").write_bytes(f"\ufeff{one}{ends}\ufeff{two}{ends}".encode())
    assert [e.id for e in read_manifest(tmp_path / "m.jsonl")] == ["a", "b"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_manifest_in_utf_16_is_named_as_such_once_with_the_remedy(tmp_path, encoding):
    (tmp_path / "m.jsonl").write_bytes("".join(json.dumps(LINE) + "\n" for _ in range(3)).encode(encoding))
    with pytest.raises(ValueError, match=r"m\.jsonl: is UTF-16 or UTF-32, not UTF-8; convert it: iconv") as caught:
        read_manifest(tmp_path / "m.jsonl")
    assert len(str(caught.value).splitlines()) == 1


PLACES = {
    **{key: LINE | {key: f"x{HALF}"} for key in ("text", "speaker", "text_group", "audio", "split")},
    **{key: LINE | {key: f"x{HALF}"} for key in ("scenario", "source", "licence", "task", "language", "cause")},
    "targets.direct": LINE | {"targets": {"direct": f"Well{HALF}."}},
    "question": LINE | QUESTION | {"question": f"{HALF}?"},
    "choices[1]": LINE | QUESTION | {"choices": ["a", f"b{HALF}"]},
    "turns[0].text": LINE | {"turns": [{"text": f"Hm{HALF}", "audio": None}]},
    "turns[0].reply": LINE | {"turns": [{"text": "Hm", "audio": None, "reply": HALF}]},
    "synthesis.notes[0].who": LINE | {"synthesis": {"notes": [{"who": HALF}]}},
    "key 'a\\\\ud83d'": LINE | {"synthesis": {f"a{HALF}": 1}},
}


@pytest.mark.parametrize("place", PLACES)
def test_half_a_surrogate_pair_is_refused_by_line_id_and_field_at_any_depth(tmp_path, place):
    message = error_message(tmp_path, PLACES[place] | {"id": "c2"})
    assert message.startswith(f" (c2): {place} holds half a surrogate pair (U+D83D")


def test_half_a_surrogate_pair_in_the_id_is_spelt_out(tmp_path):
    assert error_message(tmp_path, LINE | {"id": f"c{HALF}"}).startswith(r" (c\ud83d): id holds half a surrogate pair")


def test_a_whole_surrogate_pair_is_one_character(tmp_path):
    path = manifest(tmp_path, json.dumps(LINE | {"text": "Well 😀"}))
    assert r"\ud83d\ude00" in path.read_text() and read_manifest(path)[0].text == "Well 😀"


@pytest.mark.parametrize(
    ("character", "kind"),
    [
        ("\x00", "a NUL character (U+0000"),
        ("\x1b", "a control character (U+001B"),
        ("\x92", "a control character (U+0092"),
        ("\ufeff", "a byte-order mark inside the text (U+FEFF"),
    ],
)
@pytest.mark.parametrize("key", ["text", "speaker"])
def test_characters_nobody_sees_are_refused_since_they_make_another_speaker_or_text(tmp_path, key, character, kind):
    assert f"{key} holds {kind}" in error_message(tmp_path, LINE | {"id": "c2", key: f"s1{character}"})


def test_tabs_line_ends_and_line_separators_are_text(tmp_path):
    record = LINE | {"text": "one\ttwo\nthree\u2028four\r\n"}
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_manifest(path)[0].text == record["text"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ('{"id": "c2", "id": "c3"}', "key 'id' comes twice"),
        (json.dumps(LINE)[:-1] + ', "targets": {"direct": "One.", "direct": "Two."}}', "key 'direct' comes twice"),
        (LINE | {"id": "c2", "synthesis": {"f0": [float("nan")]}}, "synthesis.f0[0] is no finite number"),
        (LINE | {"id": "c2", "synthesis": {"f0": float("inf")}}, "synthesis.f0 is no finite number"),
        (LINE | {"id": "c2", "duration_s": 10**400}, "duration_s is no finite number"),
        (LINE | {"id": "c2", "duration_s": "9" * 5000}, "duration_s must be a number"),
        (json.dumps(LINE)[:-1] + f', "valence": {"9" * 5000}}}', "limit"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_json_would_keep_silently_or_die_of_is_refused_by_line(tmp_path, record, reason):
    assert reason in error_message(tmp_path, record)


def test_the_same_key_in_two_objects_is_no_repetition():
    value = parse_json('{"a": {"x": 1}, "b": {"x": 2}}')
    assert value == {"a": {"x": 1}, "b": {"x": 2}} and damage(value) is None


def test_sentences_with_a_byte_order_mark_are_read(tmp_path):
    (tmp_path / "s.jsonl").write_bytes(b'\xef\xbb\xbf{"scenario": "travel", "text": "x"}\n')
    assert ListWriter(tmp_path / "s.jsonl", "CC0")._entry(ListWriter(tmp_path / "s.jsonl", "").version[5:], "s:1")


def rows(tmp_path, content: bytes, **options) -> list:
    (tmp_path / "t.csv").write_bytes(content)
    return list(read_table(tmp_path / "t.csv", ("a", "b"), **options))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_is_read_in_every_encoding_that_spreadsheets_write(tmp_path, encoding):
    found = rows(tmp_path, 'a,b\n“x”,y\r\n\r\n"line\r\nend, ""quoted""",z\n'.encode(encoding))
    assert found == [
        (f"{tmp_path}/t.csv:2", {"a": "“x”", "b": "y"}),
        (f"{tmp_path}/t.csv:4", {"a": 'line\r\nend, "quoted"', "b": "z"}),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n1,2\n3", r"t\.csv:3: has fewer columns than the head of the file \(1, not 2\)"),
        (b"a,b\n1,2,3\n", r"t\.csv:2: has more columns"),
        (b'a,b\n"1\n2",3\n4,5,6\n', r"t\.csv:4: has more columns"),
        (b'a,b\n1,2\n3,"4\n5,6\n', r"t\.csv:3: not CSV from here on: .*never closed"),
        (b'a,b\n1,"2"x\n', r"t\.csv:2: not CSV from here on"),
        (b'a,b\n1,"' + b"x" * 200_000, r"t\.csv:2: not CSV from here on"),
        (b"a,b\n1,2\x00\n", r"t\.csv:2: holds a NUL character"),
        (b"a;b\n1;2\n", r"t\.csv: has no column a, b; expected a, b, found a;b"),
        (b"", r"t\.csv: has no column a, b; expected a, b, found an empty file"),
        (b"a,b,a\n1,2,3\n", r"t\.csv:1: has the column a twice"),
    ],
)
def test_a_row_that_is_cut_or_torn_is_refused_by_line(tmp_path, content, reason):
    with pytest.raises(ValueError, match=reason):
        rows(tmp_path, content)


def test_bad_rows_can_be_counted_and_the_others_kept(tmp_path):
    messages = []
    found = rows(tmp_path, b'a,b\n1\n2,3\n4,5\x00\n6,7\n8,"9\n', refuse=messages.append)
    assert [row["a"] for _, row in found] == ["2", "6"] and len(messages) == 3


def test_a_file_of_lines_in_two_encodings_is_decoded_line_by_line():
    mixed = "It’s mine.\n".encode() + "It’s yours.\n".encode("cp1252")
    assert decoded(mixed, "cp1252") == "It’s mine.\nIt’s yours.\n"


def test_a_byte_that_no_encoding_knows_stays_visible():
    assert decoded(b"caf\x81 \xe9", "cp1252") == "caf\ufffd é"
