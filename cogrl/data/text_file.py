"""Text from other tools: byte-order marks, encodings, and characters that are no text."""

import codecs
import re
import shlex
import unicodedata
from pathlib import Path

LOST = "\ufffd"
"""What stands where a byte could not be decoded, here or by the program that made the file."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SUSPECT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff]")
_NAMES = {"\ufeff": "a byte-order mark inside the text", "\x00": "a NUL character"}


def utf8_bytes(path: Path) -> bytes:
    """The bytes of a UTF-8 file without its byte-order mark. Raises ValueError, with the remedy, for UTF-16 and UTF-32.

    Whether the rest is UTF-8 is checked by the caller, which can name the line.
    """
    content = path.read_bytes()
    refuse_utf16(path, content[:4])
    return content.removeprefix(codecs.BOM_UTF8)


def refuse_utf16(path: Path, head: bytes) -> None:
    """Raises ValueError, with the remedy, for a file whose first four bytes are of UTF-16 or UTF-32."""
    if head.startswith(_UTF_16) or b"\0" in head:
        raise ValueError(
            f"{path}: is UTF-16 or UTF-32, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8 {shlex.quote(str(path))}"
        )


def utf8_lines(path: Path) -> list[tuple[str, str]]:
    """(`file:line`, text) of every line that is not blank. Only a line feed ends a line: JSON strings may hold others.

    Raises ValueError, `file:line`, for bytes that are not UTF-8.
    """
    found = []
    for number, line in enumerate(utf8_bytes(path).split(b"\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            try:
                found.append((where, line.decode("utf-8-sig")))
            except UnicodeDecodeError as error:
                raise ValueError(f"{where}: not UTF-8: {error}") from error
    return found


def utf8_text(path: Path) -> str:
    """The text of a UTF-8 file without its byte-order mark. Raises ValueError, `file:line`, for other bytes."""
    content = utf8_bytes(path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{line}: not UTF-8: {error}") from error


def decoded(content: bytes, legacy: str) -> str:
    """UTF-16 where there is a byte-order mark, else UTF-8, else the `legacy` encoding; U+FFFD for what is none of them.

    A file that mixes UTF-8 and cp1252 is read line by line. Control characters 80-9F become what cp1252 has there: they
    are quotes and dashes once read as Latin-1.
    """
    if content.startswith(_UTF_16):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            # a line of a two-byte encoding may look like UTF-8 by chance; a whole file, or a cp1252 line, does not
            pieces = content.splitlines(keepends=True) if legacy == "cp1252" else [content]
            text = "".join(_utf8_or(legacy, piece) for piece in pieces)
    return re.sub("[\x80-\x9f]", lambda match: bytes([ord(match[0])]).decode("cp1252", "replace"), text)


def _utf8_or(legacy: str, piece: bytes) -> str:
    try:
        return piece.decode("utf-8-sig")
    except UnicodeDecodeError:
        return piece.decode(legacy, errors="replace")


def suspect(text: str) -> str | None:
    """The first character that no text should hold, in words; None where there is none.

    Half a surrogate pair can not be written to any file; control characters (other than tab and line ends) and a
    byte-order mark in mid-text are invisible, and make a name another one.
    """
    match = _SUSPECT.search(text)
    if match is None:
        return None
    character = match[0]
    kind = "half a surrogate pair" if unicodedata.category(character) == "Cs" else "a control character"
    return f"{_NAMES.get(character, kind)} (U+{ord(character):04X}, after {printable(text[: match.start()][-20:])!r})"


def unsuspicious(text: str) -> str:
    """The text with U+FFFD for every character that `suspect` names."""
    return _SUSPECT.sub("\ufffd", text)


def printable(text: str) -> str:
    """The text with half surrogates spelt out, so that it can be printed and written."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
