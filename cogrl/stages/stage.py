"""What every stage shares: the policy, the optimiser, checks of the data, test and predict."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch.utils.data import ConcatDataset, Dataset

from cogrl.finite import not_finite
from cogrl.formats import format_named, instructions
from cogrl.formats.answer import Answer, answers_of
from cogrl.formats.segments import SegmentRules
from cogrl.models.audio_lm import AudioLM
from cogrl.models.prompt_length import PromptBudget
from cogrl.rewards.cogaudio import cogaudio_reward
from cogrl.rewards.composite import Reward, as_reward
from cogrl.rewards.term import Validates
from cogrl.rollout.controller import Controller, segment_rules
from cogrl.rollout.engine import Engine, Pending, check_controllers
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.stages.agreement import compare
from cogrl.stages.means import Means
from cogrl.stages.optim import Optim
from cogrl.stages.sharding import Sharding, refuse_four_bit
from cogrl.stages.step_means import REDUCTIONS, StepMeans
from cogrl.stages.usable_lines import refuse_unusable
from cogrl.types import ClipBatch, Example, Rollouts, Scores


class Stage(pl.LightningModule):
    """A policy in training. Subclasses define `training_step`; `test` and `predict` are the same for all.

    `formats` are those that it trains, and those that `test` and `predict` ask in.

    Args:
        policy: the audio language model; its weights are read in `configure_model`.
        optim: AdamW settings.
        sampling: how completions are drawn; `test` and `predict` use its `max_new_tokens`, greedily.
        reward: grades all formats in `test` (and trains the RL stages); a function of one answer will do.
        engine: draws the completions; None is `HFEngine`, the policy itself.
        controllers: may force tokens, insert audio or end completions while they are drawn, in training, `test` and
            `predict`; see `cogrl.rollout.Controller`.
    """

    def __init__(
        self,
        policy: AudioLM,
        optim: Optim = Optim(),
        sampling: Sampling = Sampling(),
        reward: Reward | Callable[[Answer], float | None] | None = None,
        engine: Engine | None = None,
        controllers: list[Controller] | None = None,
    ) -> None:
        super().__init__()
        self.policy, self.optim, self.sampling = policy, optim, sampling
        self.reward = as_reward(reward or cogaudio_reward())
        self.engine, self.controllers = engine or HFEngine(), controllers or []
        check_controllers(self.engine, self.controllers)
        self.synced_step: int | None = None
        self.sharding: Sharding | None = None
        self.prompt_budget, self.means = PromptBudget(policy), Means()
        self.step_means = StepMeans()
        self.formats: tuple[str, ...] = ("eips", "direct")

    @property
    def steps_per_batch(self) -> int:
        """How many consecutive training steps one batch of clips serves; the data module repeats it that often."""
        return 1

    @property
    def parts_per_batch(self) -> int:
        """Into how many equal parts one batch of clips is split."""
        return 1

    @property
    def segment_rules(self) -> SegmentRules:
        """Which cited segments of its completions are valid."""
        return segment_rules(self.controllers)

    def configure_model(self) -> None:
        self.policy.load()

    def setup(self, stage: str) -> None:
        strategy = self.trainer.strategy
        refuse_four_bit(self, strategy)
        self.sharding = strategy if isinstance(strategy, Sharding) else None
        self.policy.any_rank = self.sharding.any_rank if self.sharding else bool

    def whole(self, model: AudioLM | None = None) -> AbstractContextManager[None]:
        """Inside, every rank has all weights of the policy (or of `model`), whatever shards them.

        Collective: all ranks enter, and then need not do the same. Within another one it does nothing.
        """
        return self.sharding.whole(model or self.policy) if self.sharding else nullcontext()

    def check_agreement(self) -> None:
        """Checks that the settings of policy, data, stage and trainer agree and that the weights are finite.

        Raises ValueError or FloatingPointError.
        """
        self.synced_step = None  # the weights may have been read anew
        compare(self, self.trainer)
        broken = not_finite(self.named_parameters())
        if broken:
            raise FloatingPointError(
                f"the weights of policy.path={self.policy.path!r} (or of the checkpoint) are not finite: {broken}; "
                "take an earlier export or checkpoint"
            )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Raises FloatingPointError, before weights change, when a gradient is NaN or infinite.

        With float16 the gradient scaler skips such steps and lowers its scale; nothing is refused there.
        """
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        gradients = ((name, p.grad) for name, p in self.named_parameters() if p.grad is not None)
        broken = None if scaled else not_finite(gradients)
        if self.policy.any_rank(broken is not None):
            broken = broken or "another rank's shard"
            raise FloatingPointError(
                f"optimiser step {self.global_step + 1} was not taken: the gradient of {broken}. The last checkpoint "
                "is as it was, go on from it with --ckpt_path last; when this comes again, lower optim.lr, set "
                "trainer.gradient_clip_val, or look for what is wrong with the clips of this step"
            )

    def controller_states(self) -> list[tuple[str, dict[str, Any]]]:
        """What each controller has learned, with its name; alike on all ranks."""
        return [(type(each).__name__, each.state_dict()) for each in self.controllers]

    def step_state(self) -> dict[str, Any]:
        """What this rank needs to go on behind an optimiser step: plain data that no later step changes."""
        return {"metrics": self.step_means.state_dict()}

    def load_step_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `step_state` gave."""
        self.step_means.load_state_dict(state["metrics"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint.setdefault("controllers", self.controller_states())  # unless a callback has kept earlier ones

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What controllers have learned. Raises ValueError when the checkpoint is of a run with others."""
        states = checkpoint.get("controllers", [])
        theirs, ours = [name for name, _ in states], [type(each).__name__ for each in self.controllers]
        if theirs != ours and any(state for _, state in states):
            raise ValueError(
                f"the checkpoint is of a run with the controllers {theirs} and this one has {ours}; what they learned "
                "belongs to them: name the same ones in model.init_args.controllers, in the same order"
            )
        for controller, (_, state) in zip(self.controllers, states, strict=False):
            controller.load_state_dict(state)

    def on_fit_start(self) -> None:
        self.check_agreement()
        self.check(ConcatDataset([self.examples("train"), self.examples("val")]))
        self.policy.train()  # loaded weights come in evaluation mode

    def on_validation_start(self) -> None:
        if self.trainer.state.fn == TrainerFn.VALIDATING:  # and not in the middle of a fit
            self.check_agreement()
            self.check(self.examples("val"))

    def on_test_start(self) -> None:
        self.check_agreement()
        self.check(self.examples("test"), lambda example: self.prompt_error(example) or self.grading_error(example))

    def on_predict_start(self) -> None:
        self.check_agreement()
        self.check(self.examples("test"), self.prompt_error)

    def examples(self, split: str) -> Sequence[Example]:
        """The lines of a split; none where the data come from elsewhere than `AudioData`."""
        return getattr(self.trainer.datamodule, "examples", {}).get(split, [])

    def check(
        self, examples: Sequence[Example] | Dataset, validate: Callable[[Example], str | None] | None = None
    ) -> None:
        """Before the first step: checks that every clip fits the audio window and each line has what the stage needs.

        Raises ValueError with the first twenty reasons (by default of `self.validate`), each as `file:line (id):
        reason`, on every rank: each looks at its share of the lines.
        """
        refuse_unusable(examples, validate or self.validate)

    def validate(self, example: Example) -> str | None:
        """Why this stage can not learn from an example; None when it can."""
        return self.prompt_error(example)

    def grading_error(self, example: Example) -> str | None:
        """Why the reward can not grade answers to an example; None where it gives no reason."""
        return self.reward.validate(example) if isinstance(self.reward, Validates) else None

    def prompt_error(self, example: Example) -> str | None:
        """Why the policy can not answer an example: a format that does not fit, its audio or its prompt is too long."""
        reasons = (format_named(name).validate(example) for name in self.formats)
        reason = next((reason for reason in reasons if reason), None) or self.audio_length_error(example)
        if reason:
            return reason
        return self.prompt_budget.overflow(example, instructions(self.formats, example), self.sampling.max_new_tokens)

    def audio_length_error(self, example: Example) -> str | None:
        """Why the clip, or an earlier turn, does not fit into the policy's audio window."""
        reason = self.policy.audio_file_error(example.audio)
        for number, turn in enumerate(example.turns, start=1):
            earlier = self.policy.audio_file_error(turn.audio) if turn.audio else None
            reason = reason or (earlier and f"turn {number}: {earlier}")
        return reason

    def configure_optimizers(self):
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=self.optim.lr, betas=self.optim.betas, weight_decay=self.optim.weight_decay
        )
        total_steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.optim.scale(step, total_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: ClipBatch, device: torch.device, dataloader_idx: int) -> ClipBatch:
        """Clips stay on the CPU: the policy moves the input tensors to the device."""
        return batch

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        *,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: Any = "mean",
        **options: Any,
    ) -> None:
        """As Lightning's, but what `training_step` logs for each step is of the step's micro-batches together.

        `reduce_fx` says how they are put together: "mean", "max", "min" or "sum".
        """
        each_step = self._current_fx_name == "training_step" and on_step is not False and not on_epoch
        if each_step and reduce_fx in REDUCTIONS and isinstance(value, (int, float, torch.Tensor)):
            micro_batch, epoch = self.trainer.fit_loop.total_batch_idx, self.current_epoch
            for held, (old, how) in self.step_means.take_over(epoch).items():
                super().log(held, old, batch_size=1, **how)
            value = self.step_means.add(name, value, self.global_step, micro_batch, reduce_fx)
            how = {"prog_bar": prog_bar, "on_step": on_step, "on_epoch": on_epoch, "reduce_fx": reduce_fx}
            self.step_means.note(name, value, how, epoch)
        super().log(name, value, prog_bar=prog_bar, on_step=on_step, on_epoch=on_epoch, reduce_fx=reduce_fx, **options)

    def test_step(self, batch: ClipBatch, batch_idx: int) -> None:
        """Greedy answers in each format, graded by the training reward: `test/<format>/<term>`."""
        for format in self.formats:
            rollouts = self.answer(batch, format)
            if batch.padding:
                continue
            scores = self.score(rollouts)
            for name, values in {"reward": scores.total, **scores.terms}.items():
                self.means.add_applicable(f"test/{format}/{name}", values)

    def on_validation_epoch_start(self) -> None:
        self.means = Means()

    def on_validation_epoch_end(self) -> None:
        """Log the means over all clips of all ranks."""
        self.log_dict(self.means.over_ranks(), reduce_fx="max", sync_dist=True)  # the same on all ranks already

    on_test_epoch_start, on_test_epoch_end = on_validation_epoch_start, on_validation_epoch_end

    def predict_step(self, batch: ClipBatch, batch_idx: int) -> list[dict[str, str]]:
        """One record a clip: its id and the greedy answer in each format."""
        answers = {format: self.answer(batch, format).texts for format in self.formats}
        if batch.padding:
            return []
        return [
            {"id": clip.example.id} | {format: answers[format][i] for format in self.formats}
            for i, clip in enumerate(batch.clips)
        ]

    def score(self, rollouts: Rollouts) -> Scores:
        """The reward of each completion by its format, on the CPU."""
        return self.reward.score(answers_of(rollouts))

    def answer(self, batch: ClipBatch, format: str) -> Rollouts:
        """One greedy completion a clip on `format`."""
        greedy = replace(self.sampling, greedy=True)  # whose temperature is that of the log-probabilities
        return self.run_engine(batch.clips, [format] * len(batch), greedy)

    def run_engine(self, *what: Any, verb: Literal["sample", "begin"] = "sample", **how: Any) -> Rollouts | Pending:
        """Completions of these clips, formats and sampling under the stage's controllers, by this step's weights.

        With "begin" they are `Pending`, of an engine that can.
        """
        with self.whole():
            if self.synced_step != self.global_step:
                self.engine.sync(self.policy)
                self.synced_step = self.global_step
            return getattr(self.engine, verb)(self.policy, *what, **({"controllers": self.controllers} | how))
