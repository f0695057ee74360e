"""The table of families in docs/policies.md says what the contract suite checks, of each family and no other."""

import inspect
from pathlib import Path

import test_audio_lm
from policy_families import CHECKS, FAMILIES, table

from cogrl.models.saved import FAMILIES as BY_MODEL_TYPE

ROOT = Path(__file__).parents[2]


def test_the_page_holds_the_table_as_the_suite_writes_it():
    page = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    assert table() in page, "put what `python tests/policy_families.py` prints into docs/policies.md"


def test_every_check_is_a_test_of_every_family():
    questions = (ROOT / "tests" / "stages" / "test_questions_of_families.py").read_text(encoding="utf-8")
    for name in CHECKS.values():
        test = getattr(test_audio_lm, name, None)
        if test is None:
            assert f'@pytest.mark.parametrize("family", FAMILIES)\ndef {name}(' in questions
        else:
            assert {"make", "policy"} & set(inspect.signature(test).parameters)


def test_every_family_that_is_read_is_held_to_them():
    assert set(BY_MODEL_TYPE.values()) == {family.policy for family in FAMILIES.values()}
