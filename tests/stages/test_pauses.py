"""RL stages under PAUSE: thresholds that move with training alone and are kept, and credit by confidence."""

import json

import pytest
import pytorch_lightning as pl
import torch
from test_rl import CountsTokens, batches, stage_of

from cogrl.callbacks.export import Export
from cogrl.evaluate.controls import silence
from cogrl.objectives.confidence import ConfidenceWeights, lowest_group_confidence
from cogrl.rollout import Abort, Controller
from cogrl.rollout.controllers import Filler, FixedFiller, Keywords, Pause
from cogrl.stages import Grpo
from cogrl.stages.counterfactuals import Counterfactuals
from cogrl.types import ClipBatch, Role


def paused(**settings):
    settings = {"window": 2, "gap": 1, "abort_quantile": None} | settings
    controller = Pause(Filler("<thought>", 2), **settings)
    controller.lowest.least = 8
    return controller


def grpo(policy, *controllers, **settings):
    settings = {"updates_per_rollout": 2} | settings
    return stage_of(Grpo, policy, CountsTokens(), controllers=list(controllers), **settings)


def fit(stage, clips, steps, folder, **settings):
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[Export(to_mlflow=False)],
        default_root_dir=folder,
    )
    stage._trainer = trainer
    trainer.fit(stage, batches(clips, stage.steps_per_batch, steps), **settings)
    return trainer


def test_thresholds_are_learned_between_rollouts_of_training_and_kept(policy, clips, tmp_path):
    controller = paused(keywords=Keywords(share=0.5))
    stage, thresholds, logged = grpo(policy, controller), [], []
    sample, log_dict = stage.sample, stage.log_dict
    stage.sample = lambda *args: sample_and_note(sample, thresholds, controller, *args)
    stage.log_dict = lambda values, **how: logged.append(values) or log_dict(values, **how)
    trainer = fit(stage, clips, 4, tmp_path)
    assert thresholds[0] is None and thresholds[1] is not None
    assert logged[0]["rollout/pauses"] == 0 and logged[1]["rollout/pauses"] > 0
    assert logged[1]["rollout/pause_threshold"] == pytest.approx(thresholds[1].pause)
    assert {f"rollout/pauses_part_{i}" for i in (1, 2, 3, 4)} <= logged[1].keys()
    assert controller.bias == 0.0 and not controller.training  # the second rollout began at half of the steps
    learned = controller.learned()
    assert len(controller.lowest.values) == sum(1 for _ in controller.lowest.values) > 16
    stage.answer(ClipBatch(clips), "eips")
    assert controller.learned() == learned  # an answer teaches it nothing
    assert json.loads((tmp_path / "export/pause.json").read_text())["pause"] == pytest.approx(learned.pause)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    other = paused(keywords=Keywords(share=0.5))
    (tmp_path / "resumed").mkdir()
    fit(grpo(policy, other), clips, 4, tmp_path / "resumed", ckpt_path=tmp_path / "last.ckpt")
    assert other.learned() == learned and other.bias == controller.bias
    with pytest.raises(ValueError, match=r"a run with the controllers \['Pause'\] and this one has \['FixedFiller'\]"):
        fit(grpo(policy, FixedFiller(places=(1,))), clips, 4, tmp_path / "other", ckpt_path=tmp_path / "last.ckpt")


def sample_and_note(sample, thresholds, controller, *args):
    rollouts = sample(*args)
    thresholds.append(controller.thresholds)
    return rollouts


def test_what_a_training_step_asks_under_replaced_audio_is_training_too(policy, clips, tmp_path):
    """Else the first step, which has no thresholds yet, would be refused."""
    controller, seen = paused(), []
    begin = controller.begin
    controller.begin = lambda *args: seen.append(controller.training) or begin(*args)
    fit(grpo(policy, controller, counterfactuals=Counterfactuals({"silence": silence})), clips, 1, tmp_path)
    assert seen == [True, True] and not controller.training


def test_a_stage_that_only_answers_uses_what_stands_beside_the_weights(policy, clips, tmp_path):
    with pytest.raises(ValueError, match="Pause has no thresholds"):
        grpo(policy, paused()).answer(ClipBatch(clips), "eips")
    file = tmp_path / "pause.json"
    file.write_text('{"pause": 0.99, "abort": null, "window": 2, "min_position": 0}')
    answers = grpo(policy, paused(thresholds=str(file))).answer(ClipBatch(clips), "eips")
    assert (answers.completions.roles == Role.LATENT).any()


class GivesUp(Controller):
    """Ends the first completion of each group after three tokens."""

    def begin(self, policy, inputs, group_size):
        self.size, self.drawn = group_size, torch.zeros(len(inputs) * group_size, dtype=torch.long)

    def after(self, tokens, logprobs, rows):
        self.drawn[rows] += 1
        due = rows[(self.drawn[rows] == 3) & (rows % self.size == 0)]
        return {row: [Abort()] for row in due.tolist()}


def test_credit_is_weighted_by_confidence_and_what_was_given_up_counts_in_its_groups_mean(policy, clips, tmp_path):
    weighted = grpo(policy, GivesUp(), confidence_weights=ConfidenceWeights(window=2), format_weights={"direct": 2.0})
    plain = grpo(policy, GivesUp(), format_weights={"direct": 2.0})
    weighted._trainer = plain._trainer = None
    rollouts = sampled(weighted, clips)
    scores = weighted.score(rollouts)
    found, without = (stage.credit(rollouts, scores, str).advantages for stage in (weighted, plain))
    aborted = torch.tensor([reason == "abort" for reason in rollouts.finish])
    assert aborted.any() and (found[aborted] == 0).all() and (without[aborted] != 0).any()
    lgc = lowest_group_confidence(rollouts.sampling_logprobs, rollouts.completions.mask, 2)
    kept = lgc[~aborted]
    expected = without * (0.5 + ((lgc - kept.mean()) / (kept.std(correction=0) + 1e-6)).sigmoid())
    torch.testing.assert_close(found[~aborted], expected[~aborted], rtol=1e-3, atol=1e-4)
    assert not found.requires_grad


def sampled(stage, clips):
    """A rollout outside of a trainer."""
    clips = list(clips)
    settings = {"group_size": stage.group_size, "generator": torch.Generator().manual_seed(0)}
    return stage.engine.sample(
        stage.policy, clips, ["eips", "direct"] * 2, stage.sampling, controllers=stage.controllers, **settings
    )
