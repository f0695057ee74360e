"""Controllers with the vLLM engine, against the small server: drawn in stretches is as good as drawn in one go."""

import json
import threading
import time
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from citing_policy import build_citing_policy
from interruptions import RandomInsertions, Scripted, pausing
from policy_families import SIZES
from vllm_server import VLLMStandIn

from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.reference import logprobs_of
from cogrl.rollout import Abort, HFEngine, Sampling, Tokens
from cogrl.rollout.controllers import Relisten
from cogrl.rollout.excerpts import excerpt_of
from cogrl.rollout.vllm import VLLMEngine
from cogrl.rollout.vllm.wire import Asked, one_placeholder_a_clip
from cogrl.stages import Grpo, Sft
from cogrl.stages.objective import Objective
from cogrl.types import ClipBatch, Role, Scores, Span, join_clips

GENERATE = "/inference/v1/generate"
SAMPLING = Sampling(temperature=0.8, max_new_tokens=7)
GREEDY = Sampling(max_new_tokens=7, greedy=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, smoke_texts):
    folder = tmp_path_factory.mktemp("citing") / "policy"
    build_citing_policy(folder, smoke_texts, **SIZES)
    return folder


@pytest.fixture(scope="module")
def running(folder):
    with VLLMStandIn(str(folder)) as server:
        yield server


@pytest.fixture
def policy(folder):
    return Qwen2Audio(str(folder)).load()


@pytest.fixture
def server(running):
    return running.ready()


@pytest.fixture
def engine(server, policy):
    engine = VLLMEngine(server.base_url, attempts=3, request_s=60.0, startup_s=60.0)
    engine.sync(policy)
    return engine


def draw(engine, policy, clips, *controllers, sampling=SAMPLING, **how):
    how = {"group_size": 2, "generator": torch.Generator().manual_seed(1)} | how
    return engine.sample(policy, clips, ["eips"] * len(clips), sampling, controllers=controllers, **how)


def asked(server):
    """The bodies of what was asked, the settings taken out of them."""
    return [body | body["sampling_params"] for path, body in server.noted() if path == GENERATE]


def same(one, other):
    """Whether they are the same in all but their log-probabilities, which are the same up to rounding."""
    a, b = one.completions, other.completions
    assert (one.finish, one.spans, one.texts) == (other.finish, other.spans, other.texts)
    assert one.token_ends == other.token_ends and a.clip_counts == b.clip_counts and set(a.audio) == set(b.audio)
    assert torch.equal(a.ids, b.ids) and torch.equal(a.roles, b.roles)
    if a.audio:  # what pads a clip depends on which others it was read with
        real = a.audio["feature_attention_mask"]
        assert torch.equal(real, b.audio["feature_attention_mask"])
        mels = (audio["input_features"] * real[:, None] for audio in (a.audio, b.audio))
        torch.testing.assert_close(*mels, rtol=0, atol=1e-5)
    torch.testing.assert_close(one.sampling_logprobs, other.sampling_logprobs, rtol=0, atol=1e-4)


def test_what_is_drawn_between_segments_that_are_heard_again_is_what_the_policy_scores(engine, server, policy, clips):
    rollouts = draw(engine, policy, clips, Relisten(), group_size=3)
    completions = rollouts.completions
    assert sum(completions.clip_counts) > 3 and len(rollouts.spans) == 12
    ours = logprobs_of(policy, rollouts, SAMPLING.temperature, 4)
    assert rollouts.completions.mask.sum() > 30
    torch.testing.assert_close(rollouts.sampling_logprobs, ours, rtol=0, atol=1e-4)
    silent = {name: torch.zeros_like(v) if v.is_floating_point() else v for name, v in completions.audio.items()}
    deaf = replace(rollouts, completions=replace(completions, audio=silent))
    assert (logprobs_of(policy, deaf, SAMPLING.temperature, 4) - ours).abs().max() > 1e-2
    cuts = [
        policy.excerpt_tensors([excerpt_of(rollouts.clips[row // 3].waveform, span, 16_000).waveform])
        for row, spans in enumerate(rollouts.spans)
        for span in spans
    ]
    assert torch.equal(join_clips(cuts)["feature_attention_mask"], completions.audio["feature_attention_mask"])
    requests = asked(server)
    assert [body["n"] for body in requests] == [3] * 4 + [1] * (len(requests) - 4)
    assert len({body["seed"] for body in requests}) == len(requests)
    assert all(body["stop"] == ["</seg>"] and body["detokenize"] for body in requests)
    same(draw(engine, policy, clips, Relisten(), group_size=3), rollouts)


def ended_early(row):
    return {(row, 1): [Tokens([110, 111], Role.LATENT)], (row, 3): [Tokens([112]), Abort()]}


CONTROLLERS = {
    "relistening": lambda: [Relisten()],
    "a budget": lambda: [Relisten(audio_tokens=26)],
    "a filler": lambda: [Relisten(hears="filler", filler=" it")],
    "nothing": lambda: [Relisten(hears="nothing")],
    "anything behind any token": lambda: [RandomInsertions(3, often=0.3)],
    "several": lambda: [Scripted({(0, 2): [Tokens([120])]} | ended_early(1) | ended_early(4)), Relisten()],
}


@pytest.mark.parametrize("kind", CONTROLLERS)
def test_greedy_completions_are_those_of_the_engine_in_this_process(engine, server, policy, clips, leads, kind):
    here, there = CONTROLLERS[kind](), CONTROLLERS[kind]()
    expected = draw(HFEngine(), policy, clips, *here, sampling=GREEDY)
    found = draw(engine, policy, clips, *there, sampling=GREEDY)
    assert min(leads) > 1e-4
    same(found, expected)
    assert (len(asked(server)) == len(clips)) == (kind == "nothing")
    for one, other in zip(there, here, strict=True):
        assert {k: v.nan_to_num().tolist() for k, v in one.metrics(found).items()} == {
            k: v.nan_to_num().tolist() for k, v in other.metrics(expected).items()
        }


@pytest.mark.parametrize("more", [3, 12, 40])
def test_a_server_that_reads_fewer_tokens_cuts_as_a_policy_that_does(engine, server, policy, clips, leads, more):
    positions = more + max(draw(engine, policy, clips[:3]).prompts.attention_mask.sum(1).tolist())
    server.behave(positions=positions)
    engine.sync(policy)
    found = draw(engine, policy, clips[:3], Relisten(), sampling=GREEDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(policy), "max_positions", positions)
        same(found, draw(HFEngine(), policy, clips[:3], Relisten(), sampling=GREEDY))
    assert min(leads) > 1e-4


def test_what_was_drawn_behind_an_insertion_is_thrown_away_and_the_next_stretch_begins_with_it(
    engine, server, policy, clips
):
    part = excerpt_of(clips[0].waveform, Span(0.5, 1.25), 16_000)
    script = Scripted({(0, 2): [Tokens([130, 131]), part, part]})
    rollouts = draw(engine, policy, clips[:1], script, group_size=1)
    first, second = asked(server)
    alone = draw(engine, policy, clips[:1], group_size=1)
    drawn = alone.completions.ids[0, :2].tolist()
    assert len(alone.completions.ids[0]) > 3  # so that something was drawn behind the second token
    before, behind = policy.audio_markers
    clip = [*before, policy.audio_token_id, *behind]
    assert second["token_ids"] == [*first["token_ids"], *drawn, 130, 131, *clip, *clip]
    assert (first["max_tokens"], second["max_tokens"]) == (7, 5) and len(second["clips"]) == 3
    ids, roles = rollouts.completions.ids[0], rollouts.completions.roles[0]
    assert ids[:2].tolist() == drawn and (roles == Role.SAMPLED).sum() <= 7
    assert ids[2:4].tolist() == [130, 131] and roles[:4].tolist() == [1, 1, 2, 2]
    ours = logprobs_of(policy, rollouts, SAMPLING.temperature, 1)
    torch.testing.assert_close(rollouts.sampling_logprobs, ours, rtol=0, atol=1e-4)
    for body in (first, asked(server)[-1]):  # neither with a controller that names no stop strings, nor without one
        assert "stop" not in body and body["detokenize"] is False


@pytest.mark.parametrize("fault", ["wrong_version", "lost_token"])
def test_a_later_stretch_that_can_not_be_believed_is_asked_for_again_and_never_used(
    engine, server, policy, clips, fault
):
    engine.server.retry = replace(engine.server.retry, pause_s=0.0)
    undisturbed = draw(engine, policy, clips[:1], Relisten(), sampling=GREEDY)
    assert undisturbed.completions.clip_counts[0]
    server.behave(fault=fault, first=2, times=3)
    same(draw(engine, policy, clips[:1], Relisten(), sampling=GREEDY), undisturbed)
    server.behave(fault=fault, first=2)
    with pytest.raises(ConnectionError, match="in 3 tries"):
        draw(engine, policy, clips[:1], Relisten(), sampling=GREEDY)


def test_another_prompt_of_a_later_stretch_ends_the_run(engine, server, policy, clips):
    server.behave(fault="other_prompt", first=2)
    with pytest.raises(ValueError, match="the server reads a prompt of"):
        draw(engine, policy, clips[:1], Relisten(), sampling=GREEDY)


def test_killed_between_two_stretches_it_goes_on_with_the_same_weights_and_seeds(engine, server, policy, clips):
    undisturbed = draw(engine, policy, clips[:2], Relisten())
    server.behave(delay_s=30.0, first=3)  # of the two of the first stretch both are answered

    def kill_and_restart():
        while len(asked(server)) < 3:
            time.sleep(0.05)
        server.kill()
        server.start()

    thread = threading.Thread(target=kill_and_restart)
    thread.start()
    rollouts = draw(engine, policy, clips[:2], Relisten())
    thread.join()
    same(rollouts, undisturbed)
    assert "/update_weights" in [path for path, _ in server.noted()]  # its own are of version "default"


def test_a_server_that_sleeps_does_so_once_all_stretches_are_drawn(engine, server, policy, clips):
    engine.server.sleeps = True
    draw(engine, policy, clips[:1], Relisten(), sampling=GREEDY)
    paths = [path for path, _ in server.noted()]
    assert paths.count(GENERATE) > 1 and paths.count("/sleep?level=1") == 1 and paths[-1] == "/sleep?level=1"


def stretch(finish_reason, stop_reason, ids, most=4):
    """How a server's one stretch is read; 2 is an end token."""
    question = Asked("a", [5, 6], 9, [], [], 16_000, Sampling(max_new_tokens=most), (2,), [], 50, 1, 1, ["</seg>"])
    content = [{"token_id": id, "logprob": -1.0} for id in ids]
    choice = {"index": 0, "finish_reason": finish_reason, "stop_reason": stop_reason, "token_ids": ids}
    choice |= {"logprobs": {"content": content}, "weight_versions": [{"version": "v", "start": 0, "end": len(ids)}]}
    return question.read(json.dumps({"prompt_token_ids": [5, 6], "choices": [choice]}), "v")[0].finish


def test_an_end_token_a_stop_string_and_the_last_token_are_told_apart():
    assert stretch("stop", 2, [7, 2]) == "end"
    assert stretch("stop", "</seg>", [7, 8]) == "stop"
    assert stretch("stop", "</seg>", [7, 8, 7, 8]) == "length"  # nothing more would be drawn behind it
    assert stretch("length", None, [7, 8, 7, 8]) == "length"
    for reason, ids in (("</other>", [7, 8]), (None, [7, 8]), ("</seg>", [2, 8])):
        with pytest.raises(ValueError, match="goes on behind, or stops before, an end token"):
            stretch("stop", reason, ids)


def test_clips_without_anything_between_them_have_a_placeholder_each():
    assert one_placeholder_a_clip([1, 9, 9, 9, 9, 9, 4, 9, 2], 9, [3, 2, 1]) == [1, 9, 9, 4, 9, 2]


class Lengths:
    """As many as the completion has characters."""

    def score(self, answers) -> Scores:
        return Scores(torch.tensor([float(len(answer.text)) for answer in answers]), {})


def grpo(policy, engine, **settings):
    settings = {"objective": Objective("grpo"), "sampling": SAMPLING, "formats": ("direct",)} | settings
    return Grpo(policy, group_size=4, reward=Lengths(), engine=engine, **settings)


def test_a_stage_learns_from_them(engine, policy, clips):
    stage = grpo(policy, engine, controllers=[Relisten()])
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_steps=2, accelerator="cpu", enable_model_summary=False, **quiet)
    loader = torch.utils.data.DataLoader([ClipBatch(clips[:2])] * 2, batch_size=None)
    trainer.fit(stage, loader)  # refused unless the engine's log-probabilities are the policy's
    assert stage.engine_check.done and sum(stage.rollouts.completions.clip_counts)
    assert trainer.callback_metrics["rollout/relistens"] > 0


def test_what_can_not_be_run_is_refused_by_name_before_anything_is_read(policy, clips):
    nowhere = VLLMEngine("http://127.0.0.1:9")
    for build in (lambda *a, **k: Sft(a[0], engine=a[1], **k), grpo):
        with pytest.raises(ValueError, match=r"can not run Pause: .*leave model\.engine out"):
            build(policy, nowhere, controllers=[Relisten(), pausing("filler")])
    with pytest.raises(ValueError, match="one_step_off and controllers"):
        grpo(policy, nowhere, controllers=[Relisten()], one_step_off=True)
    with pytest.raises(ValueError, match="can not run Pause"):
        draw(nowhere, policy, clips[:1], pausing("hidden_span"))
    with pytest.raises(ValueError, match="under Relisten are not drawn ahead"):
        nowhere.begin(policy, clips[:1], ["eips"], SAMPLING, controllers=[Relisten()])
    grpo(policy, nowhere, controllers=[Relisten()])
