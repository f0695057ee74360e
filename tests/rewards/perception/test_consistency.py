"""Claims against the gold of a line, to the last digit: what each section is worth, and what costs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from traces import EXAMPLE, answered

from cogrl.formats.answer import read_answer
from cogrl.rewards.composite import ByFormat, WeightedSum
from cogrl.rewards.perception import ClaimCount, FirstKnown, PerceptualConsistency, Reference, checked_claims
from cogrl.rewards.perception.claims import HEARD, SECTIONS, Claim
from cogrl.rewards.perception.evidence import Evidence
from cogrl.rewards.perception.facts import Facts, check
from cogrl.types import Example, Scores, SpokenTurn

LONGER = replace(
    EXAMPLE,
    speech=(
        SpokenTurn("low", 0.0, 1.0, "a b c"),
        SpokenTurn("high", 1.0, 2.0, "d e"),
        SpokenTurn("low", 2.0, 3.0, "a f"),
    ),
)


def value(section, answer):
    return PerceptualConsistency(section).values([answer])[0]


def test_a_trace_that_says_all_and_no_more_is_worth_one_in_every_section():
    for section in SECTIONS:
        assert value(section, answered()) == 1.0
    assert value(None, answered()) == 1.0


@pytest.mark.parametrize(
    ("section", "changed", "worth"),
    [
        ("environment", {"environment": "hum"}, 0.0),
        ("environment", {"environment": "rain, hum"}, 1 / 2),
        ("environment", {"environment": "rain, rain"}, 1 / 2),
        ("environment", {"environment": "rain, hum, crowd, engine, beeps"}, 1 / 5),
        ("environment", {"environment": "none"}, 0.0),
        ("environment", {"environment": "..."}, 0.0),
        ("speaker", {"speaker": "3: low, high"}, 2 / 3),
        ("speaker", {"speaker": "2: high, low"}, 2 / 3),
        ("speaker", {"speaker": "2"}, 1 / 3),
        ("speaker", {"speaker": "2: low, middle, high"}, 3 / 4),
        ("speaker", {"speaker": "2 or 3"}, 0.0),
        ("asr", {"asr": "low: kettle river"}, 2 / 4),
        ("asr", {"asr": "low: kettle apple; high: window apple"}, 3 / 4),
        ("asr", {"asr": "high: kettle river; low: window apple"}, 0.0),
        ("asr", {"asr": "high: window apple; low: kettle river"}, 2 / 4),
        ("asr", {"asr": "low: kettle river; high: window apple; high: window apple"}, 4 / 6),
        ("asr", {"asr": "low: river kettle; high: window apple"}, 3 / 4),
        ("asr", {"asr": "kettle river window apple"}, 0.0),
        ("description", {"description": "high is first"}, 0.0),
        ("description", {"description": "low is first, high is last"}, 1.0),
        ("description", {"description": "low is first, high is first"}, 1 / 2),
        ("description", {"description": "low is first, all is calm, it is late"}, 1 / 2),
        ("description", {"description": "all is calm"}, 0.0),
        ("description", {"description": "low is loudest"}, 0.0),
        ("answer", {"final_answer": "window apple"}, 0.0),
        ("answer", {"final_answer": "window apple, kettle river"}, 0.0),
    ],
)
def test_each_section_is_worth_its_supported_share_of_what_is_expected_or_claimed(section, changed, worth):
    assert value(section, answered(**changed)) == pytest.approx(worth, abs=1e-12)
    others = [other for other in SECTIONS if other != section]
    assert [value(other, answered(**changed)) for other in others] == [1.0] * len(others)


def test_over_all_sections_each_counts_the_same_and_the_answer_does_not():
    changed = {"environment": "rain, hum", "asr": "low: kettle", "final_answer": "window apple"}
    assert value(None, answered(**changed)) == pytest.approx((1 / 2 + 1 + 1 / 4 + 1) / 4, abs=1e-12)


def test_turns_of_one_speaker_stay_apart():
    assert value("asr", answered(None, LONGER, asr="low: a b c; high: d e; low: a f")) == 1.0
    assert value("asr", answered(None, LONGER, asr="low: a f; high: d e; low: a b c")) == pytest.approx(4 / 7)
    assert value("asr", answered(None, LONGER, asr="low: a b c a f; high: d e")) == pytest.approx(5 / 7)


def test_free_text_costs_what_it_is_told_to_and_never_more_than_a_false_claim():
    answer = answered(description="low is first, all is calm, it is late, who knows")
    costs = {0.0: 1.0, 0.5: 1 / 2.5, 1.0: 1 / 4}
    for cost, worth in costs.items():
        assert PerceptualConsistency("description", unverifiable_cost=cost).values([answer]) == [pytest.approx(worth)]
    with pytest.raises(ValueError, match=r"unverifiable_cost=1.5"):
        PerceptualConsistency(unverifiable_cost=1.5)


def test_not_well_formed_is_worth_nothing_and_another_format_is_not_graded():
    assert value("asr", answered("low: kettle river; high: window apple")) == 0.0
    assert value(None, answered("I cannot hear the clip")) == 0.0
    assert value("asr", read_answer("kettle river", "choice", EXAMPLE)) is None


def test_a_line_without_gold_is_refused_by_name_of_the_key_or_not_graded():
    bare = Example("q2", Path("q2.flac"), question="Who?", answer="low", environment="rain")
    reason = PerceptualConsistency("asr").validate(bare)
    assert reason.startswith("no speech, which claims about asr are checked against")
    assert PerceptualConsistency("environment").validate(bare) is None
    assert "speech" in PerceptualConsistency().validate(bare)
    assert PerceptualConsistency("asr", required=False).validate(bare) is None
    assert value("asr", answered(example=bare)) is None
    assert value(None, answered(example=bare)) == 1.0, "of the sections, only the environment is known"


def test_a_clip_known_to_have_no_environment_is_said_to_have_none():
    quiet = replace(EXAMPLE, environment="none")
    assert value("environment", answered(example=quiet, environment="none")) == 1.0
    assert value("environment", answered(example=quiet, environment="no background")) == 1.0
    assert value("environment", answered(example=quiet)) == 0.0


def test_statuses_are_counted_by_section():
    (checked,) = checked_claims(
        [answered(environment="rain, hum", description="low is first, all is calm")], Reference()
    )
    assert [
        (checked.count(status), checked.count(status, "environment"))
        for status in ("supported", "contradicted", "unverifiable")
    ] == [(10, 1), (1, 1), (1, 0)]
    assert checked.expected == {"environment": 1, "speaker": 3, "asr": 4, "description": 1, "answer": 1}
    assert [str(claim) for claim, _ in checked.of(status="contradicted")] == ["hum"]
    counts = ClaimCount("contradicted").values([answered(environment="rain, hum"), answered("nothing")])
    assert counts == [1, 0]


def test_a_count_within_its_slack_is_neither_right_nor_wrong():
    facts = Facts({"count": (Claim("speaker", "count", "2"),)}, count_slack=1)
    found = [check([Claim("speaker", "count", said)], facts).statuses[0] for said in ("1", "2", "3", "4", "2 or 3?")]
    assert found == ["unverifiable", "supported", "unverifiable", "contradicted", "contradicted"]


def test_a_name_costs_nothing_where_only_the_count_is_known_and_earns_nothing():
    facts = Facts({"count": (Claim("speaker", "count", "2"),)})
    claims = [Claim("speaker", "count", "2"), Claim("speaker", "name", "low"), Claim("speaker", "name", "high")]
    assert check(claims, facts).value("speaker") == 1.0
    assert check(claims[1:], facts).value("speaker") == 0.0
    assert check(claims, facts).value("asr") is None


def test_words_of_somebody_support_the_words_of_anybody():
    facts = Facts({"word": (Claim("asr", "word", "kettle"), Claim("asr", "word", "river"))})
    claims = [Claim("asr", "word", "kettle", "low"), Claim("asr", "word", "river", "high")]
    assert check(claims, facts).value("asr") == 1.0


class Source(Evidence):
    """Facts that are given, or an error; it counts what it is asked."""

    def __init__(self, found):
        self.found, self.asked = found, []

    def facts(self, answers):
        self.asked.append(len(answers))
        return [self.found] * len(answers)


def test_all_terms_of_a_reward_share_one_check_of_an_answer():
    source = Source(Facts({"label": (Claim("environment", "label", "rain"),)}))
    terms = {section: PerceptualConsistency(section, source) for section in HEARD} | {
        "count": ClaimCount("supported", evidence=source)
    }
    scores = WeightedSum(terms, dict.fromkeys(terms, 1.0)).score([answered(), answered(environment="hum")])
    assert source.asked == [2]
    assert scores.terms["environment"].tolist() == [1.0, 0.0] and scores.terms["asr"].isnan().all()


def test_a_source_that_fails_fails_the_answer_and_is_no_zero():
    failed = Source(ConnectionError("down"))
    reward = WeightedSum({"asr": PerceptualConsistency("asr", failed)}, {"asr": 1.0}, max_failures=1.0)
    assert reward.score([answered()]).total.isnan().all()
    both = WeightedSum({"asr": PerceptualConsistency("asr", FirstKnown((Reference(), failed)))}, {"asr": 1.0}, 1.0)
    assert both.score([answered()]).total.isnan().all()


def test_the_first_source_that_knows_counts_kind_by_kind():
    hum = Source(Facts({"label": (Claim("environment", "label", "hum"),)}))
    assert PerceptualConsistency("environment", FirstKnown((Reference(), hum))).values([answered()]) == [1.0]
    bare = answered(example=replace(EXAMPLE, environment=None))
    assert PerceptualConsistency("environment", FirstKnown((Reference(), hum))).values([bare]) == [0.0]
    assert PerceptualConsistency("asr", FirstKnown((hum, Reference()))).values([bare]) == [1.0]
    with pytest.raises(ValueError, match="sources is empty"):
        FirstKnown(())


def test_terms_are_made_from_yaml():
    text = """
    reward:
      class_path: cogrl.rewards.WeightedSum
      init_args:
        terms:
          asr:
            class_path: cogrl.rewards.perception.PerceptualConsistency
            init_args: {section: asr}
          environment:
            class_path: cogrl.rewards.perception.PerceptualConsistency
            init_args:
              section: environment
              evidence:
                class_path: cogrl.rewards.perception.FirstKnown
                init_args: {sources: [{class_path: cogrl.rewards.perception.Reference}]}
        weights: {asr: 0.5, environment: 0.25}
    """
    parser = ArgumentParser()
    parser.add_argument("--reward", type=WeightedSum)
    made = parser.instantiate_classes(parser.parse_object(yaml.safe_load(text))).reward
    assert made.score([answered(asr="low: kettle")]).total.tolist() == [0.5 * 0.25 + 0.25]


def test_notes_say_what_became_of_each_claim():
    answer = answered(environment="rain, hum", asr="low: kettle apple; high: window apple", description="all is calm")
    terms = {section: PerceptualConsistency(section) for section in HEARD} | {"right": lambda answer: 1.0}
    scores = WeightedSum(terms, dict.fromkeys(terms, 1.0)).score([answer, answered("nothing")])
    assert scores.notes == {
        "environment": ["+rain; -hum", ""],
        "speaker": ["+2; +low; +high", ""],
        "asr": ["+low: kettle; -low: apple; +high: window apple", ""],
        "description": ["?all is calm", ""],
    }
    (whole,) = PerceptualConsistency().notes([answer])
    assert (
        whole
        == "+rain; -hum; +2; +low; +high; +low: kettle; -low: apple; +high: window apple; ?all is calm; +kettle river"
    )
    by_format = ByFormat({"choice": accuracy, "paqa": WeightedSum({"asr": terms["asr"]}, {"asr": 1.0})})
    mixed = by_format.score([read_answer("kettle river", "choice", EXAMPLE), answered(asr="low: kettle")])
    assert mixed.notes == {"asr": ["", "+low: kettle"]}
    one_row = {name: values[:1] for name, values in scores.terms.items()}
    fresh = Scores(scores.total[:1], one_row, notes={"asr": ["+low: river"]})
    redrawn = scores.with_rows(torch.tensor([1]), fresh)
    assert redrawn.notes["asr"] == [scores.notes["asr"][0], "+low: river"] and redrawn.notes["environment"][1] == ""


def accuracy(answer):
    return float(answer.said == answer.example.answer)
