"""A question about the audio, answered after a thought that cites the parts to hear again. (Echo, arXiv:2602.11909)"""

from cogrl.formats.schema import Mixed, Schema, Tag, Text
from cogrl.formats.think_choice import ThinkChoice


class Echo(ThinkChoice):
    """The question of `choice`, and a thought with `<seg>start, end</seg>` in it, in seconds from the beginning.

    Fields: `thinking`, a tuple of texts and of mappings with the `times` of a segment, which is also rendered from one
    text with the tags in it, and `answer`. Whether a segment can be heard is not for the grammar but for `SegmentRules`
    to say.
    """

    name = "echo"
    schema = Schema(Tag("think", Mixed("thinking", Tag("seg", Text("times")))), Tag("answer", Text("answer")))
    orders = {
        "en": (
            "Think first, between <think> and </think>; cite each part of the audio that you want to hear again as "
            "<seg>start, end</seg>, in seconds. Then give {what} between <answer> and </answer>.",
            "one choice, by its letter or its text,",
            "the answer",
        ),
        "zh": (
            "先在 <think> 和 </think> 之间思考；想再听一遍的音频片段写成 <seg>开始, 结束</seg>，单位为秒。"
            "再在 <answer> 和 </answer> 之间给出{what}。",
            "一个选项的字母或内容",
            "答案",
        ),
    }


ECHO = Echo()
