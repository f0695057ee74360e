"""Reading the one JSON object of an answer that may be wrapped in prose, fences, comments or a thought.

Lenient about formatting, strict about content: what could be read in two ways is refused.
"""

import json
import re
from typing import Any

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|//[^\n]*|/\*.*?(?:\*/|\Z)|[{}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)


def parse_object(answer: str) -> dict[str, Any]:
    """The JSON object in `answer`.

    Text around it, code fences, a leading `<think>…</think>`, `//` and `/* */` comments, trailing commas and line
    breaks inside strings are forgiven. Raises ValueError when there is none, when it is cut off, when a key comes
    twice, when there are two that differ (a judge that quotes what it judges must not be misread), or when a string
    holds half a surrogate pair, which no file could keep.
    """
    text = answer.rpartition("</think>")[2]
    found: list[dict[str, Any]] = []
    problem = "no JSON object"
    start = text.find("{")
    while start >= 0:
        block, end = _balanced(text, start)
        if end < 0:
            problem = "the JSON object is cut off"
            break
        try:
            value = json.loads(block, strict=False, object_pairs_hook=_once, parse_constant=_refuse)
            found += [value] if value not in found else []
        except (json.JSONDecodeError, RecursionError):
            problem = "no valid JSON object"
        start = text.find("{", end)
    if len(found) == 1:
        if _SURROGATE.search(json.dumps(found[0], ensure_ascii=False)):
            raise ValueError(f"half a surrogate pair in the answer {answer[:120]!r}")
        return found[0]
    reason = f"{len(found)} JSON objects that differ" if found else problem
    raise ValueError(f"{reason} in the answer {answer[:120]!r}")


def _balanced(text: str, start: int) -> tuple[str, int]:
    """The block that opens at `start`, without comments and trailing commas, and where it ends (-1: nowhere)."""
    depth, kept, last = 0, [], start
    for token in _TOKEN.finditer(text, start):
        if token.group().startswith(("//", "/*")):
            kept.append(text[last : token.start()] + " ")
            last = token.end()
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth == 0 and token.group() == "}":
            block = "".join(kept) + text[last : token.end()]
            return _TRAILING_COMMA.sub(lambda match: match.group(1) or "", block), token.end()
    return "", -1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError(f"a key comes twice in the answer: {', '.join(keys)}")
    return dict(pairs)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} in the answer is no JSON")
