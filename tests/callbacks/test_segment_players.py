"""Cited segments on the rollout page: players that cost no audio, and the reasons of invalid tags."""

import json
import re
from dataclasses import replace

import pytest
from test_rollout_table import SamplingStage, rollouts, trainer_in

from cogrl.callbacks.report import rollout_page
from cogrl.callbacks.rollout_table import RolloutTable, rows
from cogrl.callbacks.segments import player, segment_fields, segment_players
from cogrl.formats.segments import SegmentRules
from cogrl.types import Span

RULES = SegmentRules(min_s=0.01, max_s=1.0)
RATE = 16_000
"""At which the clips are 0.05 seconds long."""
TEXTS = (
    "<think><seg>0.01, 0.03</seg> a</think>",
    "<think><seg>1..2</seg> <seg>0.02, 0.04</seg></think>",
    "nothing cited",
    "<seg>0.01, 2</seg>",
)


INSERTED = ((Span(0.01, 0.03),), (), (), ())


def cited(texts=TEXTS, spans=INSERTED):
    sampled, scores = rollouts(texts=texts)
    return replace(sampled, spans=spans), scores


def page_of(sampled, scores, rules=RULES):
    fields = segment_fields(sampled, rules, RATE)
    records = [record | found for record, found in zip(rows(sampled, scores), fields, strict=True)]
    return rollout_page(8, records, sampled.clips, RATE)


def test_each_completion_has_its_own_segments_of_its_own_clip():
    sampled, _ = cited()
    found = segment_fields(sampled, RULES, RATE)
    assert found[0] == {"inserted": [[0.01, 0.03]], "cited": [[0.01, 0.03]], "invalid": []}
    assert found[1] == {"inserted": [], "cited": [[0.02, 0.04]], "invalid": [["<seg>1..2</seg>", "malformed"]]}
    assert found[2] == {"inserted": [], "cited": [], "invalid": []}
    assert found[3]["invalid"] == [["<seg>0.01, 2</seg>", "outside"]]
    assert json.loads(json.dumps(found)) == found
    longer = replace(sampled.clips[1], waveform=sampled.clips[1].waveform.repeat(60))
    other = segment_fields(replace(sampled, clips=[sampled.clips[0], longer]), SegmentRules(min_s=0.01), RATE)
    assert other[3]["cited"] == [[0.01, 2.0]] and other[0]["cited"] == [[0.01, 0.03]]


def test_other_recipes_have_no_such_columns():
    sampled, scores = rollouts()
    assert segment_fields(sampled, RULES, RATE) == [{}] * 4
    page = page_of(sampled, scores)
    assert "data-segment" not in page and "<script>" not in page and "inserted" not in page


def test_an_inserted_segment_without_a_tag_has_a_player_too():
    sampled, _ = cited(texts=("a", "b", "c", "d"))
    assert segment_fields(sampled, RULES, RATE)[0] == {"inserted": [[0.01, 0.03]], "cited": [], "invalid": []}


def test_every_player_of_a_segment_is_in_the_section_of_its_clip_and_holds_no_audio():
    page = page_of(*cited())
    first, second = page.split("<section>")[1:]
    assert re.findall(r'data-segment="([^"]+)"', first) == ["0.0100,0.0300", "0.0200,0.0400"]
    assert "data-segment" not in second.partition("<script>")[0]
    assert page.count("data:audio/wav") == 2  # the clips themselves
    assert first.index("src=") < first.index("data-segment")  # the script takes the first player of the section
    assert "inserted: <span" in first and "cited, not inserted: <span" in first and "0.02–0.04 s</span>" in first


def test_one_script_gives_the_players_the_address_of_their_clip_with_the_times():
    page = page_of(*cited())
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert 'closest("section").querySelector("audio").src + "#t=" + player.dataset.segment' in script
    assert page.index("</section>") < page.index("<script>")


def test_an_invalid_tag_is_shown_as_text_with_its_reason():
    shown = segment_players({"inserted": [], "cited": [], "invalid": [["<seg><b>1</b></seg>", "malformed"]]})
    assert shown == (
        '<div class="note">invalid: <code>&lt;seg&gt;&lt;b&gt;1&lt;/b&gt;&lt;/seg&gt;</code> malformed</div>'
    )
    page = page_of(*cited(texts=("<script>alert(1)</script></seg>", "", "", "")))
    assert page.count("<script>") == 1 and "alert(1)" not in re.findall(r"<script>(.*?)</script>", page, re.S)[0]


def test_a_cited_segment_that_was_inserted_has_one_player():
    shown = segment_players({"inserted": [[1.0, 2.0]], "cited": [[1.0, 2.0], [3.0, 4.0]], "invalid": []})
    assert shown.count("<audio") == 2 and shown.index("inserted: ") < shown.index("cited, not inserted: ")
    assert shown.endswith(f"cited, not inserted: {player(3.0, 4.0)}</div>")
    assert segment_players({}) == ""


def test_the_times_of_a_player_are_exact_and_its_label_is_short():
    shown = player(1234.123456, 1235.5)
    assert 'data-segment="1234.1235,1235.5000"' in shown and "1234.12–1235.5 s</span>" in shown


def test_a_question_stands_above_its_answers_with_its_evidence():
    sampled, scores = cited()
    clip = sampled.clips[0]
    asked = replace(
        clip.example, question="Who <knocks>?", choices=("low", "high"), answer="low", evidence=(Span(0.02, 0.03),)
    )
    page = page_of(replace(sampled, clips=[replace(clip, example=asked), sampled.clips[1]]), scores)
    assert f"<p>Who &lt;knocks&gt;? / low / high → low · evidence: {player(0.02, 0.03)}</p>" in page
    assert page.count("→") == 1


@pytest.mark.parametrize(("rules", "reason"), [(RULES, None), (SegmentRules(min_s=0.03), "too_short")])
def test_the_table_reads_tags_by_the_rules_of_the_stage(tmp_path, rules, reason):
    stage = SamplingStage()
    stage.rollouts, stage.scores = cited()
    stage.segment_rules = rules
    RolloutTable().on_train_batch_end(trainer_in(tmp_path), stage, None, None, 0)
    first = json.loads((tmp_path / "rollouts/000008.jsonl").read_text().splitlines()[0])
    assert first["invalid"] == ([["<seg>0.01, 0.03</seg>", reason]] if reason else [])
    assert ("too_short" in (tmp_path / "rollouts/000008.html").read_text()) == bool(reason)
    assert (tmp_path / "rollouts/000008.csv").read_text().splitlines()[0].endswith("inserted,cited,invalid")
