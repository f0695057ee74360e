"""The plan of a LIME corpus: balanced, disjoint, and nothing in a name."""

import re
from collections import Counter

import pytest

from cogrl.data.recipes.lime_clips import FULL, SMOKE, Split, clips, wanted
from cogrl.data.recipes.lime_scenarios import SCENARIOS
from cogrl.data.synthesis.voices import speakers
from cogrl.types import EMOTIONS, INTENSITIES

NAMES = tuple(SCENARIOS)
PEOPLE = [person.name for person in speakers()]


def sentences(plan, scenarios=NAMES):
    return {name: [f"{name} sentence {n}." for n in range(count)] for name, count in wanted(plan, scenarios).items()}


def planned(plan, scenarios=NAMES, people=PEOPLE, seed=0):
    return clips(plan, scenarios, sentences(plan, scenarios), people, seed)


@pytest.mark.parametrize("plan", [FULL, SMOKE, {"sft": Split(7, 5, 3), "test": Split(3, 2)}])
def test_every_reading_has_all_emotions_at_all_intensities_and_splits_share_nothing(plan):
    made = planned(plan)
    assert len({clip.id for clip in made}) == len(made)
    readings = Counter(clip.reading for clip in made)
    assert set(readings.values()) == {len(EMOTIONS) * len(INTENSITIES)}
    for field in ("speaker", "text_group", "text"):
        owners = {(getattr(clip, field), clip.split) for clip in made}
        assert len(owners) == len({value for value, _ in owners})
    for name, split in plan.items():
        own = [clip for clip in made if clip.split == name]
        assert len(own) == 21 * split.texts * (split.readers or split.speakers)
        assert len({clip.text for clip in own}) == split.texts and len({c.speaker for c in own}) == split.speakers
        counts = Counter((clip.emotion, clip.intensity) for clip in own)
        assert len(counts) == 21 and len(set(counts.values())) == 1
        busy = Counter(clip.speaker for clip in own).values()
        assert max(busy) - min(busy) <= 21


def test_the_default_plan_has_every_scenario_in_every_split():
    made = planned(FULL)
    assert len(made) == 3780
    for name in FULL:
        counts = Counter(clip.scenario for clip in made if clip.split == name)
        assert set(counts) == set(NAMES) and len(set(counts.values())) == 1


def test_ids_are_opaque_and_depend_on_the_seed_and_nothing_else_does():
    first, repeated, other = planned(SMOKE), planned(SMOKE), planned(SMOKE, seed=1)
    assert first == repeated and not {c.id for c in first} & {c.id for c in other}
    assert all(re.fullmatch(r"[0-9a-f]{16}", clip.id) for clip in first)


def test_as_many_sentences_are_wanted_as_are_dealt_out():
    plan = {"sft": Split(5, 2), "val": Split(2, 1)}
    three = NAMES[:3]
    assert wanted(plan, three) == {three[0]: 3, three[1]: 2, three[2]: 2}
    assert Counter(clip.scenario for clip in planned(plan, three, seed=0) if clip.split == "val") == {
        three[2]: 21,
        three[0]: 21,
    }
    assert wanted({"sft": Split(1, 1)}, NAMES) == {"family_life": 1}


def test_plans_that_can_not_be_carried_out_are_refused():
    with pytest.raises(ValueError, match="ask for 3 speakers, no two share one, and the synthesiser has 2"):
        planned({"sft": Split(1, 2), "test": Split(1, 1)}, people=["a", "b"])
    with pytest.raises(ValueError, match="named twice"):
        planned({"sft": Split(1, 1)}, people=["a", "b", "a"])
    with pytest.raises(ValueError, match=r"splits: train; allowed: sft, rl, val, test"):
        planned({"train": Split(1, 1)})
    with pytest.raises(ValueError, match="none given"):
        planned({})
    for numbers in ((0, 1), (1, 0), (1, 2, 3), (1, 2, 0)):
        with pytest.raises(ValueError, match="at least one text"):
            Split(*numbers)
