"""Words as they are compared and counted, in every script."""

import pytest

from cogrl.words import CJK, units, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't worry, it’s FINE.", ["don't", "worry", "it's", "fine"]),
        ("今天 很好。", ["今", "天", "很", "好"]),
        ("人々は1人", ["人", "々", "は", "1", "人"]),
        ("ok吗？no・way", ["ok", "吗", "no", "way"]),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("𠀀𠀁", ["𠀀", "𠀁"]),
        ("…!", []),
    ],
)
def test_each_character_of_a_script_without_spaces_is_a_word(text, expected):
    assert units(text) == expected


def test_no_space_is_left_beside_a_character():
    assert words("我 爱 you , 你") == "我爱you你" and words("안녕 하세요") == "안녕 하세요"
    assert CJK.search("kana: ア") and not CJK.search("no, 한글 is not")
