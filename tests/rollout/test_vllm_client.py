"""The vLLM engine against a small server that speaks its API: every failure has the outcome that docs/vllm.md gives."""

import threading
import time
from dataclasses import replace

import pytest
import torch
from vllm_server import VLLMStandIn

from cogrl.models.reference import logprobs_of
from cogrl.rollout import Engine, Sampling
from cogrl.rollout.vllm import VLLMEngine
from cogrl.types import Role

SAMPLING = Sampling(temperature=0.7, max_new_tokens=3)
GENERATE = "/inference/v1/generate"


@pytest.fixture(scope="module")
def running(tiny_policy_dir):
    with VLLMStandIn(str(tiny_policy_dir)) as server:
        yield server


@pytest.fixture
def server(running):
    return running.ready()


@pytest.fixture
def engine(server, policy):
    """An engine that has handed over the weights of `policy`, which are not those that the server was started with."""
    with torch.no_grad():
        policy.head.weight.add_(torch.randn_like(policy.head.weight), alpha=0.5)
    engine = VLLMEngine(server.base_url, attempts=3, request_s=60.0, startup_s=60.0)
    engine.sync(policy)
    server.behave()
    return engine


def draw(engine, policy, clips, seed=1, **settings):
    generator = torch.Generator().manual_seed(seed)
    how = {"group_size": 2, "generator": generator} | settings
    return engine.sample(policy, clips, ["eips"] * len(clips), SAMPLING, **how)


def paths(server):
    return [path for path, _ in server.noted()]


def same(a, b):
    return torch.equal(a.completions.ids, b.completions.ids) and a.texts == b.texts


def test_rollouts_are_of_the_weights_handed_over_and_of_the_policys_own_prompts(engine, server, policy, clips):
    assert isinstance(engine, Engine)
    rollouts = draw(engine, policy, clips, policy_version=7)
    completions, policy_version = rollouts.completions, rollouts.policy_version
    assert completions.ids.shape[0] == 8 and policy_version == 7 and len(rollouts.texts) == 8
    assert set(completions.roles.unique().tolist()) <= {Role.SAMPLED, Role.PAD}
    ours = logprobs_of(policy, rollouts, SAMPLING.temperature, 4)
    torch.testing.assert_close(rollouts.sampling_logprobs, ours, rtol=0, atol=1e-4)
    bodies = [body for path, body in server.noted() if path == GENERATE]
    assert len(bodies) == 4 and all(body["token_ids"].count(policy.audio_token_id) == 1 for body in bodies)
    assert len({body["sampling_params"]["seed"] for body in bodies}) == 4
    assert {reason for reason in rollouts.finish} <= {"end", "length"}


def test_weights_are_proven_new(engine, server, policy, clips):
    before = draw(engine, policy, clips[:1])
    with torch.no_grad():
        policy.head.weight.neg_()
    stale = logprobs_of(policy, before, SAMPLING.temperature, 1)
    assert (stale - before.sampling_logprobs).abs().max() > 0.1  # so the comparison below can tell them apart
    first = engine.server.weights
    engine.sync(policy)
    after = draw(engine, policy, clips[:1])
    ours = logprobs_of(policy, after, SAMPLING.temperature, 1)
    torch.testing.assert_close(after.sampling_logprobs, ours, rtol=0, atol=1e-4)
    assert engine.server.weights.version != first.version
    kept = [folder.name for folder in engine.folder.root.iterdir() if folder.is_dir()]
    assert kept == [engine.server.weights.version]
    phases = [path for path in paths(server) if path not in (GENERATE, "/pause?mode=abort")]
    four = ["init_weight_transfer_engine", "start_weight_update", "update_weights", "finish_weight_update", "resume"]
    assert phases == [f"/{path}" for path in four]


def test_greedy_answers_text_inputs_and_equal_seeds(engine, policy, clips):
    assert same(draw(engine, policy, clips[:2]), draw(engine, policy, clips[:2]))
    assert not same(draw(engine, policy, clips[:2]), draw(engine, policy, clips[:2], seed=2))
    greedy = replace(SAMPLING, greedy=True)
    twice = engine.sample(policy, clips[:1], ["eips"], greedy, group_size=2)
    assert torch.equal(*twice.completions.ids)
    read = draw(engine, policy, clips[:1], inputs=["what was said"])
    assert not read.prompts.audio
    ours = logprobs_of(policy, read, SAMPLING.temperature, 1)
    torch.testing.assert_close(read.sampling_logprobs, ours, rtol=0, atol=1e-4)


def test_killed_in_mid_rollout_it_is_waited_for_given_the_weights_again_and_asked_with_the_same_seed(
    engine, server, policy, clips
):
    undisturbed = draw(engine, policy, clips[:2])
    server.behave(delay_s=30.0)

    def kill_and_restart():
        while server.noted() == []:
            time.sleep(0.05)
        server.kill()
        time.sleep(0.3)
        server.start()

    thread = threading.Thread(target=kill_and_restart)
    thread.start()
    rollouts = draw(engine, policy, clips[:2])
    thread.join()
    assert same(rollouts, undisturbed)
    assert paths(server).index("/update_weights") < paths(server).index(GENERATE)  # its own are of version "default"


def test_a_slow_server_is_waited_for_and_asked_again_after_request_s(engine, server, policy, clips):
    undisturbed = draw(engine, policy, clips[:1])
    server.behave(delay_s=0.7)
    assert same(draw(engine, policy, clips[:1]), undisturbed)
    assert paths(server) == [GENERATE]  # slower than usual is no failure
    server.behave(delay_s=600.0, times=1)
    engine.server.retry = replace(engine.server.retry, attempt_s=1.0, attempts=100)
    assert same(draw(engine, policy, clips[:1]), undisturbed)
    assert len(paths(server)) >= 2 and set(paths(server)) == {GENERATE}
    server.behave(delay_s=600.0)
    engine.server.retry = replace(engine.server.retry, attempt_s=0.2, attempts=2, pause_s=0.0)
    with pytest.raises(ConnectionError, match=r"no rollout from .* in 2 tries: .*no answer within 0.2 s"):
        draw(engine, policy, clips[:1])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("wrong_version", "drawn by weights"),
        ("two_versions", "drawn by weights"),
        ("no_version", "drawn by weights None"),
        ("nan", "impossible log-probabilities"),
        ("positive", "impossible log-probabilities"),
        ("too_few", "1 completions where 2"),
        ("lost_token", "tokens and the log-probabilities of"),
        ("unknown_token", "token ids beyond"),
        ("aborted", "given up by the server"),
        ("no_choices", "no answer of a vLLM server"),
        ("cut", "no answer of a vLLM server"),
    ],
)
def test_an_answer_that_can_not_be_believed_is_asked_for_again_and_never_used(
    engine, server, policy, clips, fault, said
):
    engine.server.retry = replace(engine.server.retry, pause_s=0.0)
    undisturbed = draw(engine, policy, clips[:1])
    server.behave(fault=fault, times=2)
    assert same(draw(engine, policy, clips[:1]), undisturbed)
    server.behave(fault=fault)
    with pytest.raises(ConnectionError, match=f"in 3 tries: .*{said}"):
        draw(engine, policy, clips[:1])
    assert paths(server).count(GENERATE) == 3


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [("other_prompt", ValueError, "from token 3 on"), ("status_400", ConnectionError, "in 1 tries: .*too long")],
)
def test_what_asking_again_can_not_mend_ends_the_run_at_once(engine, server, policy, clips, fault, error, said):
    server.behave(fault=fault)
    with pytest.raises(error, match=said):
        draw(engine, policy, clips[:1])
    assert paths(server) == [GENERATE]


def test_weights_of_another_trainer_are_replaced_before_anything_is_asked(engine, server, policy, clips):
    undisturbed = draw(engine, policy, clips[:1])
    server.call("start_weight_update", {})
    server.call("finish_weight_update", {"weight_version": "another"})
    server.call("start_weight_update", {})  # of a process that did not live to finish it
    server.behave()
    assert same(draw(engine, policy, clips[:1]), undisturbed)
    asked, taken, repeated = (
        index for index, path in enumerate(paths(server)) if path in (GENERATE, "/update_weights")
    )
    assert paths(server)[asked] == paths(server)[repeated] == GENERATE and asked < taken < repeated


def test_weights_that_are_refused_end_the_run(engine, server, policy):
    engine.server.retry = replace(engine.server.retry, pause_s=0.0)
    server.behave(refuses="/update_weights")
    with pytest.raises(ConnectionError, match=r"did not take the weights in 3 tries: .*told to refuse"):
        engine.sync(policy)


def test_logprobs_of_another_distribution_are_refused(engine, server, policy):
    server.behave(raw=True)
    with pytest.raises(ConnectionError, match="--logprobs-mode processed_logprobs"):
        engine.sync(policy)


def test_a_server_that_never_comes_up_is_named(policy, tmp_path):
    engine = VLLMEngine("http://127.0.0.1:9", str(tmp_path / "weights"), startup_s=0.1)
    with pytest.raises(ConnectionError, match=r"did not come up within startup_s=0.1 s .*cogrl vllm"):
        engine.sync(policy)


def test_it_sleeps_between_rollouts_where_it_is_told_to(engine, server, policy, clips):
    engine.server.sleeps = True
    draw(engine, policy, clips[:1])
    draw(engine, policy, clips[:1])
    around = [path for path in paths(server) if path in ("/wake_up", GENERATE, "/sleep?level=1")]
    assert around == [GENERATE, "/sleep?level=1", "/wake_up", GENERATE, "/sleep?level=1"]


def test_what_a_server_would_compute_otherwise_is_refused(engine, policy, clips, coarse_policy_dir, make_policy):
    with pytest.raises(ValueError, match="does not know pooled audio"):
        engine.sync(make_policy("qwen2_audio", str(coarse_policy_dir)))
    policy.adapter = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match="does not know a convolutional adapter"):
        engine.sync(policy)


def test_a_server_that_several_ranks_ask_is_not_sent_to_sleep_by_the_first(server, policy, monkeypatch):
    monkeypatch.setattr("cogrl.rollout.vllm.engine.place", lambda: (0, 2))
    with pytest.raises(ValueError, match=r"engine\.sleeps=True with 2 ranks"):
        VLLMEngine(server.base_url, sleeps=True).sync(policy)


@pytest.mark.parametrize("wrong", [{"base_url": "localhost:8000"}, {"attempts": 0}, {"startup_s": 0.0}])
def test_arguments_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VLLMEngine(**wrong)
