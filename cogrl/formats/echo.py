"""A question about the audio, answered after a thought that cites the parts to hear again. (Echo, arXiv:2602.02909)"""

from cogrl.formats.think_choice import ThinkChoice


class Echo(ThinkChoice):
    """The question of `choice`, and a thought with `<seg>s, e</seg>` in it. Fields: `thinking` and `answer`."""

    name = "echo"


ECHO = Echo()
