"""The scoring rule of MMSU: a letter at the first place of the response, or at the last but one.

Written from reading `mmsu_evaluation.py` of https://github.com/dingdongwang/MMSU_Bench (arXiv:2506.04779), with its
peculiarities: some responses leave the total, and an empty one is given the letter of an earlier row.
"""

from collections.abc import Sequence

LETTERS = "ABCD"
EMPTY = ("", "None")


def letter_match(responses: Sequence[str]) -> list[str | None]:
    """The letter that the official script takes from each response, in the order of the file.

    Outer spaces and all line feeds are removed. An upper-case A, B, C or D at the first place is the letter; else one
    at the last place but one ("The answer is B."), whatever the words are: "Definitely C" is D. None: the script takes
    the row out of its total. An empty response and the word "None" are counted with the last letter found in any row
    before; the letter is "" (wrong) where there is none, where the script itself stops with an error.
    """
    found: list[str | None] = []
    last = ""
    for response in responses:
        text = plain(response)
        if text in EMPTY:
            found.append(last)
            continue
        letter = next((place for place in (text[0], text[-2:-1]) if place and place in LETTERS), None)
        last = letter or last
        found.append(letter)
    return found


def plain(response: str) -> str:
    """The response as the script looks at it."""
    return response.strip().replace("\n", "")
