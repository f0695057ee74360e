"""Re-listening: which citations are heard again, where it is inserted, and what is counted. (En: defects of Echo's
public code.)
"""

import pytest
import torch
from citing import ids_of, written
from interruptions import Scripted
from torch.utils._python_dispatch import TorchDispatchMode

from cogrl.formats.segments import SegmentRules
from cogrl.rollout import Controller, Tokens
from cogrl.rollout.controllers import Relisten
from cogrl.rollout.excerpts import EncodedExcerpts
from cogrl.rollout.insertions import interruption
from cogrl.types import Conversation, Role, Span

CITED = "so <seg>0.5, 1.25</seg> it is"


def frames(policy, seconds):
    return int(policy.audio_token_counts(torch.tensor([round(16_000 * seconds)])))


def places(rollouts, row):
    """After how many drawn tokens clips stand."""
    roles = [int(role) for role in rollouts.completions.roles[row]]
    drawn = (Role.SAMPLED, Role.BENT)
    starts = [i for i, role in enumerate(roles) if role == Role.AUDIO and roles[i - 1] != Role.AUDIO]
    return [sum(role in drawn for role in roles[:i]) for i in starts]


def figures(controller, rollouts, row=0):
    """What is reported of a completion but the zeros."""
    found = {name: values[row].item() for name, values in controller.metrics(rollouts).items()}
    return {name: value for name, value in found.items() if value and value == value}


def test_e1_the_cited_seconds_are_cut_out_and_inserted_behind_the_tag(policy, clips):
    rollouts = written(policy, clips[:1], [CITED], Relisten())
    assert rollouts.spans == [(Span(0.5, 1.25),)] and rollouts.completions.clip_counts == (1,)
    tag, (before, behind) = ids_of(policy, "so <seg>0.5, 1.25</seg>"), policy.audio_markers
    expected = [*tag, *before, *[policy.audio_token_id] * frames(policy, 0.75), *behind]
    assert rollouts.completions.ids[0, : len(expected)].tolist() == expected
    assert rollouts.texts == [CITED]
    own = policy.audio_tensors([clips[0].waveform[8_000:20_000]])
    for name, value in rollouts.completions.audio.items():
        assert torch.equal(value, own[name])


@pytest.mark.parametrize("token", [">.", "</seg>", "g> a", "25</seg> b"])
def test_a_tag_may_be_cut_into_tokens_anywhere_and_the_clip_stands_behind_the_last_one(policy, clips, token):
    policy.tokenizer.add_tokens([token])
    policy.model.resize_token_embeddings(len(policy.tokenizer), mean_resizing=False)
    text = "x <seg>0.5, 1.25</seg" + token[token.index(">") :] + " c"
    assert len(policy.tokenizer) - 1 in ids_of(policy, text)
    rollouts = written(policy, clips[:1], [text], Relisten())
    head = text[: text.index("</seg>") + 6]
    closed = next(i for i in range(99) if head in policy.tokenizer.decode(ids_of(policy, text)[:i]))
    assert places(rollouts, 0) == [closed] and rollouts.texts == [text]


def test_every_completion_has_its_own_segments_of_its_own_clip(policy, clips):
    texts = ["<seg>0, 1</seg> a <seg>1.5, 2</seg>", "none", "<seg>0.1, 0.4</seg>", "<seg>0.2, 0.6</seg>"]
    rollouts = written(policy, clips[:2], texts, Relisten(), group_size=2, longer=1)
    assert rollouts.spans == [(Span(0.0, 1.0), Span(1.5, 2.0)), (), (Span(0.1, 0.4),), ()]
    assert rollouts.completions.clip_counts == (2, 0, 1, 0)  # the last one ends behind the clip, of 0.5 s
    parts = [clips[0].waveform[:16_000], clips[0].waveform[24_000:32_000], clips[1].waveform[1_600:6_400]]
    for part, found in zip(parts, rollouts.completions.audio["input_features"], strict=True):
        own = policy.audio_tensors([part])["input_features"][0]
        assert torch.allclose(found[:, : own.shape[1]], own, atol=1e-5)
    assert rollouts.texts[:1] == [texts[0] + policy.tokenizer.decode(rollouts.completions.ids[0][-1:])]


def test_e3_only_what_was_drawn_is_a_citation(policy, clips):
    tag = "<seg>0.5, 1.25</seg>"
    forced = Scripted({(0, 2): [Tokens(ids_of(policy, tag))], (0, 3): [Tokens(ids_of(policy, tag), Role.LATENT)]})
    controller = Relisten()
    rollouts = written(policy, clips[:1], ["so it is"], forced, controller)
    assert rollouts.spans == [()] and figures(controller, rollouts) == {}
    between = Scripted({(0, 8): [Tokens(ids_of(policy, "9, 9"))]})  # in the middle of the tag
    rollouts = written(policy, clips[:1], [CITED], between, Relisten())
    assert rollouts.spans == [(Span(0.5, 1.25),)] and rollouts.texts == [CITED]


class Hides(Controller):
    """The first so many tokens of every completion are hidden."""

    def __init__(self, count):
        self.count = count

    def begin(self, policy, inputs, group_size):
        self.drawn, self.seen = torch.zeros(len(inputs) * group_size, dtype=torch.long), 0

    def hidden(self, rows):
        return self.drawn[rows] < self.count

    def after(self, tokens, logprobs, rows):
        self.drawn[rows] += 1
        self.seen += len(rows)
        return {}


def test_what_another_controller_hides_is_no_citation(policy, clips):
    hides = Hides(len(ids_of(policy, "<seg>0, 1</seg>")))
    rollouts = written(policy, clips[:1], ["<seg>0, 1</seg> so <seg>1, 2</seg> a"], Relisten(), hides)
    assert rollouts.spans == [(Span(1.0, 2.0),)] and rollouts.texts == [" so <seg>1, 2</seg> a"]
    assert hides.seen == (rollouts.completions.roles != Role.AUDIO).sum() - 2 - 1  # markers, and behind the last token


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<seg>1..2, 3</seg> a", "malformed"),
        ("<answer><seg>1, 2</seg> a", "answered"),
        ("<seg>2, 1</seg> a", "reversed"),
        ("<seg>2.5, 3.02</seg> a", "outside"),
        ("<seg>1, 1.1</seg> a", "too_short"),
        ("<seg>0, 2.5</seg> a", "too_long"),
        ("<seg>0, 1</seg> <seg>0, 1.1</seg> a", "duplicate"),
        ("<seg>0, 1</seg> <seg>1, 2</seg> <seg>2, 3</seg> a", "too_many"),
        ("<seg>0, 1.5</seg> <seg>1.5, 2.6</seg> a", "too_much"),
    ],
)
def test_e8_what_the_rules_refuse_stays_as_text_inserts_nothing_and_is_counted(policy, clips, text, reason):
    controller = Relisten(SegmentRules(max_s=2.0, most=2, total_s=2.5))
    rollouts = written(policy, clips[:1], [text], controller)
    before = text.count("</seg>") - 1
    assert rollouts.completions.clip_counts == (before,) and rollouts.texts == [text]
    found = figures(controller, rollouts)
    assert {name: value for name, value in found.items() if "invalid" in name} == {f"invalid_{reason}": 1}
    assert found["cited"] == before + 1 and found.get("segments", 0) == before


def test_e6_a_segment_that_no_position_is_left_for_is_left_out_as_a_whole_and_the_answer_goes_on(
    policy, clips, monkeypatch
):
    one = written(policy, clips[:1], [CITED], Relisten())
    prompt = int(one.prompts.attention_mask.sum())
    needed = prompt + len(ids_of(policy, "so <seg>0.5, 1.25</seg>")) + frames(policy, 0.75) + 2
    for positions, inserted in ((needed + 1, 1), (needed, 0)):
        monkeypatch.setattr(type(policy), "max_positions", positions)
        controller = Relisten()
        rollouts = written(policy, clips[:1], [CITED], controller)
        assert rollouts.completions.clip_counts == (inserted,)
        assert inserted or rollouts.texts == [CITED]
        assert figures(controller, rollouts).get("invalid_too_much", 0) == 1 - inserted
    assert int((rollouts.completions.roles == Role.AUDIO).sum()) == 0


def test_the_budget_of_placeholders_counts_and_what_was_left_out_is_not_a_duplicate(policy, clips):
    short, long = frames(policy, 0.5), frames(policy, 1.5)
    text = "<seg>0, 0.5</seg><seg>1, 2.5</seg><seg>1, 2.3</seg><seg>2.5, 3</seg> a"
    for budget, spans in (
        (2 * short, (Span(0.0, 0.5), Span(2.5, 3.0))),
        (2 * short - 1, (Span(0.0, 0.5),)),
        (short + long - 1, (Span(0.0, 0.5), Span(1.0, 2.3))),
        (short + long, (Span(0.0, 0.5), Span(1.0, 2.5))),
    ):
        controller = Relisten(audio_tokens=budget)
        rollouts = written(policy, clips[:1], [text], controller)
        assert rollouts.spans == [spans]
        found = figures(controller, rollouts)
        assert found["segment_tokens"] <= budget and found["segments"] == len(spans) and found["cited"] == 4
        assert found.get("invalid_duplicate", 0) == (Span(1.0, 2.5) in spans)
        refused = {name: value for name, value in found.items() if "invalid" in name}
        assert sum(refused.values()) == 4 - len(spans) and found["invalid_too_much"] > 0


def test_a_citation_with_the_last_token_comes_too_late(policy, clips):
    controller = Relisten()
    rollouts = written(policy, clips[:1], ["a <seg>0, 1</seg>"], controller)
    assert rollouts.finish == ["length"] and rollouts.spans == [()]
    assert figures(controller, rollouts) == {"cited": 1, "invalid_too_much": 1}


def test_completions_that_cite_the_same_seconds_cost_one_encoding(policy, clips, monkeypatch):
    encoded, audio_embeds = [], type(policy).audio_embeds

    def spy(self, audio):
        encoded.append(len(audio["input_features"]))
        return audio_embeds(self, audio)

    monkeypatch.setattr(type(policy), "audio_embeds", spy)
    rows = [
        "a <seg>0, 1</seg> b <seg>1, 2</seg> c",
        "a <seg>0, 1</seg> b",
        "a <seg>0.0, 1.0</seg> b",
        "<seg>0, 2</seg> d",
    ]
    rollouts = written(policy, clips[:1], rows, Relisten(), group_size=4)
    assert rollouts.completions.clip_counts == (2, 1, 1, 1) and sum(encoded) == 1 + 3  # the prompt's, and three parts
    with torch.no_grad():
        scored = policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=4)
    assert scored.logprobs.isfinite().all()


def test_a_text_has_nothing_to_cut_and_a_conversation_the_turn_to_answer(policy, clips):
    words = written(policy, clips[:1], [CITED], controller := Relisten(), inputs=["It rains."])
    assert words.spans == [()] and figures(controller, words) == {"cited": 1, "invalid_outside": 1}
    talk = Conversation((clips[2].waveform, clips[0].waveform), ("Well.",))
    rollouts = written(policy, clips[:1], [CITED], Relisten(), inputs=[talk])
    own = policy.audio_tensors([clips[0].waveform[8_000:20_000]])["input_features"]
    assert torch.equal(rollouts.completions.audio["input_features"], own)
    typed = Conversation((clips[2].waveform, "And now?"), ("Well.",))
    assert written(policy, clips[:1], [CITED], Relisten(), inputs=[typed]).spans == [()]


def test_the_length_that_counts_is_that_of_the_clip_the_policy_was_given(policy, clips):
    """Shuffled audio: another clip, longer or shorter than the example's."""
    text = "<seg>2, 2.5</seg> a"
    controller = Relisten()
    shorter = written(policy, clips[:1], [text], controller, inputs=[clips[1].waveform])
    assert figures(controller, shorter) == {"cited": 1, "invalid_outside": 1}
    longer = written(policy, clips[1:2], [text], controller, inputs=[clips[0].waveform])
    assert figures(controller, longer)["segments"] == 1


def test_what_is_reported(policy, clips):
    text = "<seg>0, 1</seg> <seg>0.5, 1.5</seg> <seg>2, 2.5</seg> <seg>x</seg> <seg>0, 1</seg> a"
    controller = Relisten()
    rollouts = written(policy, clips[:1], [text, "none"], controller, group_size=2)
    tokens = 2 * frames(policy, 1.0) + frames(policy, 0.5)
    expected = {"cited": 5, "segments": 3, "segment_tokens": tokens, "segment_seconds": 2.5}
    expected |= {"segment_overlap": pytest.approx(1 / 9), "invalid_malformed": 1, "invalid_duplicate": 1}
    assert figures(controller, rollouts) == expected and figures(controller, rollouts, 1) == {}
    assert controller.metrics(rollouts)["segment_overlap"].isnan().tolist() == [False, True]


def test_a_budget_for_nothing_is_refused():
    with pytest.raises(ValueError, match="audio_tokens=0 must be at least 1; for no audio at all set hears: nothing"):
        Relisten(audio_tokens=0)


def test_segments_shorter_than_the_policy_hears_are_refused_before_the_first_token(policy, clips):
    with pytest.raises(ValueError, match=r"rules\.min_s=0\.05: 0\.04 s of audio; this model hears 0\.1 to 4 s"):
        written(policy, clips[:1], [CITED], Relisten(SegmentRules(min_s=0.05)))
    with pytest.raises(ValueError, match=r"rules\.min_s=0\.1: "):  # <seg>2.91, 3.01</seg> of 3 s would be 0.09 s
        written(policy, clips[:1], [CITED], Relisten(SegmentRules(min_s=0.1)))


def test_a_step_without_a_closed_tag_waits_for_the_device_once(policy, clips):
    class Reads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func is torch.ops.aten._local_scalar_dense.default
            return func(*args, **(kwargs or {}))

    controller = Relisten()
    controller.clips = clips
    controller.begin(policy, [clip.waveform for clip in clips], 16)
    rows, lengths = torch.arange(64), torch.full((64,), 9)
    for _ in range(70):  # what was drawn outgrows the place it is kept in
        with Reads() as reads:
            drawn = (torch.randint(300, 312, (64,)), torch.full((64,), -1.0), rows, lengths)
            found = interruption(policy, [controller], *drawn, EncodedExcerpts(policy))
        assert found is None and reads.count == 1
