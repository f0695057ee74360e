"""Words as they are compared and counted, in every script."""

import random
from itertools import combinations

import pytest

from cogrl.words import CJK, common_subsequence, units, words


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


@pytest.mark.parametrize(
    ("truth", "guess", "places"),
    [
        ("abcd", "abcd", [0, 1, 2, 3]),
        ("abcd", "", []),
        ("", "abcd", []),
        ("abcd", "dabc", [1, 2, 3]),
        ("abc", "aabbcc", [0, 2, 4]),
        ("xaybz", "qab", [1, 2]),
        ("kitten", "sitting", [1, 2, 3, 5]),
    ],
)
def test_a_longest_common_subsequence_is_named_by_its_places(truth, guess, places):
    assert common_subsequence(truth, guess) == places


def test_a_common_subsequence_is_as_long_as_every_other_way_finds():
    rng = random.Random(0)
    for _ in range(200):
        truth, guess = ("".join(rng.choices("abc", k=rng.randrange(7))) for _ in range(2))
        kept = common_subsequence(truth, guess)
        assert kept == sorted(set(kept))
        found = iter(truth)
        assert all(guess[place] in found for place in kept)
        longest = max(n for n in range(8) if set(combinations(truth, n)) & set(combinations(guess, n)))
        assert len(kept) == longest


def test_what_is_the_same_may_be_told():
    assert common_subsequence("AB", "xab", lambda wanted, given: wanted.lower() == given) == [1, 2]
