"""The RL loop every policy-gradient stage shares: sample -> score -> credit -> update."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cogrl.lm_head import PolicyMetrics, merge
from cogrl.models.audio_lm import AudioLM
from cogrl.models.dropout import without_dropout
from cogrl.models.reference import Reference, logprobs_of
from cogrl.objectives.advantages import Advantages, grouped
from cogrl.objectives.confidence import ConfidenceWeights
from cogrl.ranks import gathered
from cogrl.rewards.term import Counts
from cogrl.rollout.controller import in_training
from cogrl.rollout.engine import Pending
from cogrl.stages.ahead import RolloutsAhead, refuse_in_step
from cogrl.stages.counterfactuals import Counterfactuals, compared
from cogrl.stages.credit import Credit
from cogrl.stages.drift import DriftMonitor
from cogrl.stages.engine_check import EngineCheck
from cogrl.stages.objective import Objective, refuse_broken
from cogrl.stages.rl_settings import check_counts, check_reference, check_section_credit, whole_weights
from cogrl.stages.rollout_buffer import RolloutBuffer
from cogrl.stages.rollout_means import rollout_means
from cogrl.stages.section_credit import SectionCredit
from cogrl.stages.speech_credit import SpeechCredit
from cogrl.stages.stage import Stage
from cogrl.types import Clip, ClipBatch, Example, Rollouts, Scores


class RLStage(Stage):
    """Rollouts of a batch of clips, kept in a buffer and consumed by `updates_per_rollout` optimiser steps.

    Lightning's automatic optimisation drives it: one `training_step` is one micro-batch out of the buffer (whole
    groups), and the step that begins a batch of clips fills the buffer. Accumulation, clipping, precision and strategy
    keep their Trainer meaning. Old log-probabilities are the ones recorded at sampling and stay frozen.

    Args:
        group_size: completions a prompt.
        formats: by name; clips take them in turn, so their shares are equal. A group never mixes formats.
        updates_per_rollout: optimiser steps fed by one rollout. With 1 the ratio is 1 and any gate or clip is inert;
            with more a warning says when the policy does not move between them.
        passes: how many times each completion is used; each pass is split into `updates_per_rollout / passes` parts.
        format_weights: factor on the advantages of a format, after they were normalised within their groups.
        advantages: "group_normalised"; "group_centred", which does not divide by the group's deviation (Dr. GRPO);
            "leave_one_out", the distance from the mean of the others (RLOO); or the import path of a function of your
            own, my_module.my_advantages, see `cogrl.objectives.advantages`.
        section_credit: which term of the reward moves the tokens of which section; None: the total moves all of them.
        confidence_weights: multiplies the advantages by how sure the policy was of each completion, and those of
            completions that a controller ended by 0; None: all count the same.
        counterfactuals: changes under which the policy is asked as well, for a reward that compares.
        variance_tolerance: a group whose rewards vary no more than this has nothing to compare: advantage 0.
        speech: speaks the replies of rollouts, so that a reward can listen, and trains how they are said; None: text.
        resamples: how often groups without variance are sampled again before they are kept, equally often on all ranks.
            Each round is scored as a batch of its own: a step waits for a judge (1 + resamples) deadlines at most.
        one_step_off: the rollouts of a batch are drawn while the one before it trains, by the weights from before that:
            by an engine that can (docs/vllm.md). The first batch of an epoch is drawn when it is due.
    """

    def __init__(
        self,
        policy: AudioLM,
        objective: Objective,
        reference: str | None = None,
        group_size: int = 8,
        formats: tuple[str, ...] = ("eips", "direct"),
        updates_per_rollout: int = 2,
        passes: int = 1,
        format_weights: dict[str, float] | None = None,
        advantages: Literal["group_normalised", "group_centred", "leave_one_out"] | str = "group_normalised",
        section_credit: SectionCredit | None = None,
        confidence_weights: ConfidenceWeights | None = None,
        counterfactuals: Counterfactuals | None = None,
        speech: SpeechCredit | None = None,
        variance_tolerance: float = 1e-8,
        resamples: int = 0,
        one_step_off: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(policy, **shared)
        check_counts(group_size, updates_per_rollout, passes)
        check_reference(objective, reference)
        if one_step_off:
            repeats = {"resamples": resamples > 0, "counterfactuals": counterfactuals is not None}
            refuse_in_step(self.engine, repeats, self.controllers)
        elif updates_per_rollout == 1 and objective.kind != "reinforce":
            warnings.warn("updates_per_rollout=1: every ratio is 1, so the gate (or clip) is inert", stacklevel=2)
        self.group_size, self.formats = group_size, tuple(formats)
        self.format_weights = whole_weights(self.formats, format_weights)
        self.updates_per_rollout, self.passes = updates_per_rollout, passes
        objective.check_formats(self.formats)
        check_section_credit(section_credit, self.formats, self.reward)
        self.objective, self.reference = objective, Reference(reference, policy) if reference else None
        self.variance_tolerance, self.resamples = variance_tolerance, resamples
        estimate = Advantages(advantages), group_size, variance_tolerance
        self.credit = Credit(*estimate, self.format_weights, section_credit, confidence_weights)
        self.counterfactuals, self.speech = counterfactuals, speech
        if speech:
            speech.check(policy, objective, one_step_off=one_step_off, section_credit=section_credit is not None)
        self.buffer, self.one_step_off, self.ahead = RolloutBuffer(), one_step_off, RolloutsAhead()
        self.scores: Scores | None = None
        self.tokens_a_part: float | None = None
        self.drift, self.engine_check = DriftMonitor(), EngineCheck()

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self.reference:
            self.reference.load()

    def on_fit_end(self) -> None:
        super().on_fit_end()
        self.ahead.drop()

    def validate(self, example: Example) -> str | None:
        """Also why the reward can not grade answers to an example, where the reward gives a reason."""
        return super().validate(example) or self.grading_error(example)

    @property
    def steps_per_batch(self) -> int:
        return self.updates_per_rollout * self.trainer.accumulate_grad_batches

    @property
    def parts_per_batch(self) -> int:
        return self.steps_per_batch // self.passes

    @property
    def rollouts(self) -> Rollouts | None:
        """Those that are being learnt from; None before the first."""
        return self.buffer.rollouts

    @property
    def rollouts_step(self) -> int:
        """The optimiser step that began to learn from them; one step off their weights are those of an earlier one."""
        return self.buffer.step

    def step_state(self) -> dict[str, Any]:
        state = super().step_state() | {"steps_per_batch": self.steps_per_batch, "tokens_a_part": self.tokens_a_part}
        state |= {"buffer": self.buffer.state_dict(), "drift": self.drift.state_dict()}
        return state | ({"reward": self.reward.counts()} if isinstance(self.reward, Counts) else {})

    def load_step_state(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError when a rollout was split into more or fewer micro-batches."""
        if state["steps_per_batch"] != self.steps_per_batch:
            raise ValueError(
                f"in the checkpoint's run a rollout served {state['steps_per_batch']} micro-batches and now "
                f"{self.steps_per_batch}; set updates_per_rollout and trainer.accumulate_grad_batches as they were, or "
                "start a new run from the export of this one"
            )
        super().load_step_state(state)
        self.tokens_a_part = state["tokens_a_part"]
        self.buffer.load_state_dict(state["buffer"])
        self.drift.load_state_dict(state["drift"])
        if "reward" in state and isinstance(self.reward, Counts):
            self.reward.count_on(state["reward"])

    def configure_model(self) -> None:
        super().configure_model()
        without_dropout(self.policy)
        if self.speech and self.speech.weight:
            self.policy.speech.requires_grad_(True)

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        if batch_idx % self.steps_per_batch == 0 or not self.buffer.has_parts(batch.clips, self.device):
            with self.whole(), in_training(self.controllers):
                rollouts = self.due_rollouts(batch)
                said = self.said_otherwise(rollouts)
                rollouts, self.scores = self.resample_flat_groups(rollouts, self.score(rollouts, said), said)
            rollouts = self.compare(self.credit(rollouts, self.scores, self.policy.tokenizer.decode))
            self.buffer.fill(rollouts, self.parts_per_batch, self.passes, self.global_step)
            tokens = self.trainer.strategy.reduce(rollouts.completions.mask.sum().float(), reduce_op="mean")
            self.tokens_a_part = tokens.item() / self.parts_per_batch
            self.log_rollouts(rollouts, self.scores)
            progress = self.global_step / self.trainer.estimated_stepping_batches
            for controller in self.controllers:
                controller.learn(rollouts, progress, gathered)
        part = self.buffer.pop()
        loss = self.update(part)
        self.log("train/loss", loss, batch_size=len(part), prog_bar=True)
        return loss

    def due_rollouts(self, batch: ClipBatch) -> Rollouts:
        """The rollouts of a batch; one step off those that were begun a batch ago, and those of the next are begun."""
        rollouts = self.ahead.take(batch.clips) or self.sample(batch.clips, self.formats_of(len(batch)))
        if self.one_step_off and self.trainer.strategy.reduce_boolean_decision(bool(batch.following)):
            due = self.global_step + self.updates_per_rollout
            formats = self.formats_of(len(batch.following), due)
            self.ahead.put(batch.following, self.sample(batch.following, formats, step=due, verb="begin"))
        if self.one_step_off:
            self.log("rollout/steps_behind", float(self.global_step - rollouts.policy_version), batch_size=len(batch))
        return rollouts

    def formats_of(self, count: int, step: int | None = None) -> list[str]:
        """One format a clip, in turn, so that each clip meets each format over the epochs; of the batch at `step`."""
        first = (self.global_step if step is None else step) // self.updates_per_rollout
        return [self.formats[(first + i) % len(self.formats)] for i in range(count)]

    def sample(
        self, clips: Sequence[Clip], formats: Sequence[str], attempt: int = 0, step: int | None = None, **how: Any
    ) -> Rollouts | Pending:
        """`group_size` completions for each clip in its format, by the weights of now; `step` is when they are used."""
        generator = self.generator(attempt, step)
        settings = {"group_size": self.group_size, "policy_version": self.global_step, "generator": generator, **how}
        rollouts = self.run_engine(clips, formats, self.sampling, **settings)
        return self.speech.spoken(self.policy, rollouts, generator) if self.speech else rollouts

    def said_otherwise(self, rollouts: Rollouts) -> list[dict[str, str]]:
        """What is said to each prompt under each change; nothing without `counterfactuals`."""
        if self.counterfactuals is None:
            return [{} for _ in rollouts.clips]
        how = self.run_engine, self.sampling, self.policy.sampling_rate
        return self.counterfactuals.said(rollouts.clips, rollouts.formats, *how)

    def score(self, rollouts: Rollouts, said: Sequence[Mapping[str, str]] | None = None) -> Scores:
        """The reward of each completion; `said` is what `said_otherwise` gave, where the prompts were asked before."""
        return self.reward.score(compared(rollouts, self.said_otherwise(rollouts) if said is None else said))

    def generator(self, attempt: int = 0, step: int | None = None) -> torch.Generator:
        """A generator seeded by (run seed, optimiser step, attempt, rank): a repeated step draws the same."""
        step = self.global_step if step is None else step
        seed = torch.initial_seed() * 1_000_003 + step * 65_537 + attempt * 8_191 + self.global_rank
        return torch.Generator(self.device).manual_seed(seed % 2**63)

    def resample_flat_groups(
        self, rollouts: Rollouts, scores: Scores, said: Sequence[Mapping[str, str]]
    ) -> tuple[Rollouts, Scores]:
        """Groups without signal drawn anew, up to `resamples` times; what is still flat then stays."""
        for attempt in range(1, self.resamples + 1):
            flat = self.flat_groups(scores)
            if not self.trainer.strategy.reduce_boolean_decision(bool(flat), all=False):
                break
            if flat:
                clips, formats = ([items[i] for i in flat] for items in (rollouts.clips, rollouts.formats))
                fresh = self.sample(clips, formats, attempt)
                scores = scores.with_rows(rollouts.rows_of(flat), self.score(fresh, [said[i] for i in flat]))
                rollouts = rollouts.with_groups(flat, fresh)
            self.log("rollout/resampled", float(len(flat)), batch_size=len(rollouts.clips))
        return rollouts, scores

    def flat_groups(self, scores: Scores) -> list[int]:
        """Groups whose rewards do not vary."""
        variance = grouped(scores.total, self.group_size).var(1, unbiased=False)
        return (variance <= self.variance_tolerance).nonzero().flatten().tolist()

    def compare(self, rollouts: Rollouts) -> Rollouts:
        """With the log-probabilities the objective compares the policy to: one pass each, a micro-batch at a time."""
        temperature, groups = self.sampling.temperature, max(1, len(rollouts.clips) // self.parts_per_batch)
        corrected, unchecked = self.objective.is_cap is not None, self.engine_check.due(rollouts, self.global_step)
        if corrected or unchecked:
            scored = logprobs_of(self.policy, rollouts, temperature, groups)
            if unchecked:
                figures = self.engine_check.check(self.policy, rollouts, scored, temperature, corrected)
                for name in figures if self.global_step == 0 else ():  # a resumed run logs what the whole one does
                    self.log(name, figures[name], batch_size=len(rollouts), on_step=True, on_epoch=False)
            rollouts = replace(rollouts, old_logprobs=scored if corrected else None)
        if self.reference:
            rollouts = replace(rollouts, ref_logprobs=self.reference.logprobs(rollouts, temperature, groups))
        return rollouts

    def update(self, rollouts: Rollouts) -> Float[Tensor, ""]:
        """The loss of one micro-batch."""
        rows = rollouts.row_formats
        classes = torch.tensor([self.formats.index(format) for format in rows]).to(self.device, non_blocking=True)
        loss = self.objective.loss(rows, self.formats, self.sampling.max_new_tokens, self.device)
        out = self.policy.policy_loss(
            rollouts, loss, classes, temperature=self.sampling.temperature, num_tokens=self.tokens_a_part
        )
        tables = gathered(out.metrics.table.cpu())  # of all ranks; one wait for the device
        for table in tables:
            refuse_broken(PolicyMetrics(table, loss.kl_estimator))  # on every rank, whichever rank's it is
        metrics = PolicyMetrics(merge(*tables), loss.kl_estimator)
        self.log_update(metrics)
        if not self.one_step_off:  # there the first update, too, is of weights that have moved
            self.drift.add(metrics["log_ratio_abs"].item(), self.global_step, rollouts.policy_version)
        return out.loss + (self.speech.loss(self.policy, rollouts, loss) if self.speech and self.speech.weight else 0.0)

    def log_rollouts(self, rollouts: Rollouts, scores: Scores) -> None:
        """The figures of `rollout_means`, over all ranks."""
        means = rollout_means(rollouts, scores, self.formats, self.controllers)
        self.log_dict(means.over_ranks(), batch_size=len(rollouts), on_step=True, on_epoch=False)

    def log_update(self, metrics: PolicyMetrics) -> None:
        """What every policy-gradient objective reports about an update; the gate by format and advantage sign."""
        for name in ("entropy", "log_ratio_abs", "kl_old", "kl", "is_weight", "ratio_max", "bad"):
            self.log_finite(f"policy/{name}", metrics[name][None], {"ratio_max": "max", "bad": "sum"}.get(name, "mean"))
        self.log_finite("gate/effective_tokens", metrics["effective"][None])
        for row, format in enumerate(self.formats):
            for sign in ("pos", "neg"):
                self.log_finite(f"gate/{format}/{sign}", metrics.of(row, sign)["gate"][None])

    def log_finite(self, name: str, values: Tensor, over_a_step: str = "mean") -> None:
        """Log the mean of the finite values; nothing when there are none. See `Stage.log` for micro-batches."""
        values = values[values.isfinite()]
        if len(values):
            self.log(name, values.mean(), batch_size=len(values), on_step=True, on_epoch=False, reduce_fx=over_a_step)
