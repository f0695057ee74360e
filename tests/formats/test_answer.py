"""What a reward sees of a completion: one answer a row, parsed once, with how it came about."""

import torch

from cogrl.formats import Format, format_named
from cogrl.formats.answer import answers_of, read_answer
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling


def test_each_row_of_a_rollout_is_an_answer_with_its_own_clip_and_log_probabilities(policy, clips):
    rollouts = HFEngine().sample(
        policy, clips, ["eips", "direct", "eips", "direct"], Sampling(max_new_tokens=5), group_size=2
    )
    answers = answers_of(rollouts)
    assert [answer.text for answer in answers] == list(rollouts.texts)
    assert [answer.format for answer in answers] == ["eips", "eips", "direct", "direct"] * 2
    assert [answer.clip for answer in answers] == [clip for clip in clips for _ in range(2)]
    assert all(answer.example is answer.clip.example for answer in answers)
    assert [answer.finish == "end" for answer in answers] == rollouts.finished.tolist()
    for row, answer in enumerate(answers):
        n = int(rollouts.completions.mask[row].sum())
        assert torch.equal(answer.logprobs, rollouts.sampling_logprobs[row, :n]) and (answer.logprobs < 0).all()


def test_a_completion_that_is_cut_says_so(policy, clips):
    rollouts = HFEngine().sample(policy, clips[:1], ["direct"], Sampling(max_new_tokens=1), group_size=8)
    finished = rollouts.finished.tolist()
    assert [answer.finish for answer in answers_of(rollouts)] == ["end" if done else "length" for done in finished]
    assert False in finished


def test_a_completion_is_parsed_once(clips, monkeypatch):
    parsed, direct = [], format_named("direct")
    parse = type(direct).parse
    monkeypatch.setattr(type(direct), "parse", lambda self, text: parsed.append(text) or parse(self, text))
    monkeypatch.setattr(type(direct), "answer", lambda self, text, example=None: text.strip())
    answer = read_answer("I hear you. ", "direct", clips[0].example)
    assert [answer.fields, answer.fields, answer.said] == [{"response": "I hear you."}] * 2 + ["I hear you."]
    assert len(parsed) == 1 and isinstance(direct, Format)
