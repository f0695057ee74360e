"""Where the part of a completion begins that is spoken: the reply, never the thinking."""

from cogrl.formats import format_named
from cogrl.types import Example


def spoken_from(text: str, format: str, example: Example) -> int | None:
    """The place of the first character that is said aloud; None where nothing may be.

    Raises ValueError for a format whose answer is not what its completion ends with: it can not be spoken as it is
    written.
    """
    said = format_named(format).answer(text, example)
    if not said:
        return None
    written = text.rstrip()
    if not written.endswith(said):
        raise ValueError(
            f"format {format} does not end with its reply, so that it can not be spoken; speak in ieat or direct"
        )
    return len(written) - len(said)
