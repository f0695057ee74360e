"""Chat markup inside texts: escaped, so that the tokenizer never makes a control token of it."""

import re

_MARKUP = re.compile(
    r"<(?=\|[^|<>]*\|>)|<(?=/?(?:audio|sound|speech|image|video)[a-z_]*>)|\[(?=/?[A-Z_]*AUDIO[A-Z_]*\])", re.I
)
_ESCAPED = re.compile(r"(?<=[<\[])\\(?=[|/a-z])", re.I)


def escape_markup(text: str) -> str:
    r"""`<|AUDIO|>`, `<sound>`, `[AUDIO]` with a backslash after the bracket (`<\|AUDIO|>`): visible, but no token."""
    if "<" not in text and "[" not in text:
        return text
    return _MARKUP.sub(lambda match: match.group() + "\\", text)


def unescape_markup(text: str) -> str:
    """The inverse of `escape_markup`."""
    plain = _ESCAPED.sub("", text)
    return plain if escape_markup(plain) == text else text
