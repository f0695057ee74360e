"""PAUSE: latent computation where the policy is unsure of what it says, and an end where it is lost. (docs/pause.md)"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cogrl.models.audio_lm import AudioLM
from cogrl.objectives.confidence import window_confidences
from cogrl.rollout.controller import Abort, Controller, Insertion
from cogrl.rollout.controllers.keywords import Keywords, raised
from cogrl.rollout.controllers.latent import Filler, Latent, at_least_one
from cogrl.rollout.controllers.phrases import Phrases
from cogrl.rollout.controllers.quantile import RunningQuantiles
from cogrl.rollout.controllers.statistics import pause_statistics
from cogrl.rollout.controllers.thresholds import FILE, Thresholds, read_thresholds
from cogrl.rollout.controllers.window import ConfidenceWindow
from cogrl.types import ModelInput, Role, Rollouts

NEVER = -(2**40)
"""A place so long ago that no distance to it is small."""


class Pause(Controller):
    """Pauses where the mean probability of the last `window` text tokens is low, and gives up where it is very low.

    Both thresholds are quantiles of the lowest such mean of a completion, over the last completions of training: with
    0.5 about half of the completions pause, with 0.05 one in twenty is ended. They stay fixed during a rollout, move
    between those of training alone, and are kept in the checkpoint and in `pause.json` beside the exported weights.
    Until enough completions were seen, nothing pauses. (HyPeR, arXiv:2604.14806)

    Args:
        latent: what a pause is made of; `Filler()` when left out.
        window: tokens whose probabilities are averaged.
        min_position: nothing happens before so many text tokens.
        gap: text tokens between two pauses, at least.
        max_pauses: of a completion.
        pause_quantile: of the completions' lowest means, below which a pause begins.
        abort_quantile: the same for an end; None: never.
        until: a phrase behind which nothing happens any more, such as "<RESPONSE>".
        keywords: words behind which the first threshold is higher in early training; None: none.
        thresholds: where they come from while no training has set them: a `pause.json`, or "policy": the one in the
            policy's own folder. None: `test`, `predict` and evaluation are refused before training.
    """

    def __init__(
        self,
        latent: Latent | None = None,
        window: int = 64,
        min_position: int = 0,
        gap: int = 32,
        max_pauses: int = 3,
        pause_quantile: float = 0.5,
        abort_quantile: float | None = 0.05,
        until: str | None = None,
        keywords: Keywords | None = None,
        thresholds: str | None = None,
    ) -> None:
        if not 0 <= (abort_quantile or 0.0) < pause_quantile < 1:
            raise ValueError(
                f"pause_quantile={pause_quantile} and abort_quantile={abort_quantile}: they are between 0 and 1, and "
                "less are given up than pause"
            )
        if min_position < 0 or max_pauses < 0:
            raise ValueError(f"min_position={min_position} and max_pauses={max_pauses} must be at least 0")
        if until is not None and not until.strip():
            raise ValueError("until: an empty phrase stands everywhere; name one, or leave it out")
        self.latent = latent or Filler()
        self.window, self.gap = at_least_one("window", window), at_least_one("gap", gap)
        self.min_position, self.max_pauses = min_position, max_pauses
        self.pause_quantile, self.abort_quantile = pause_quantile, abort_quantile
        self.until, self.keywords, self.source = until, keywords, thresholds
        self.bias = keywords.bias if keywords else 0.0
        self.lowest = RunningQuantiles()
        self.phrases: dict[str, Phrases] = {}
        self.thresholds: Thresholds | None = None
        self.tokenizer: Any = None

    def begin(self, policy: AudioLM, inputs: Sequence[ModelInput], group_size: int) -> None:
        b, device = len(inputs) * group_size, policy.device
        self.latent.begin(policy, b)
        self.thresholds = self.learned() or self.given(policy)
        if self.thresholds is None and not self.training:
            raise ValueError(
                "Pause has no thresholds, since no training has set them: name its `thresholds`, policy for those "
                f"beside the policy's weights or a {FILE}"
            )
        if self.tokenizer is not policy.tokenizer:
            self.tokenizer = policy.tokenizer
            asked = {"until": [self.until] if self.until else [], "keywords": self.keywords and self.keywords.phrases}
            self.phrases = {name: Phrases(policy.tokenizer, what, device) for name, what in asked.items() if what}
        for phrases in self.phrases.values():
            phrases.begin(b)
        self.confidences = ConfidenceWindow(b, self.window, device)
        self.pauses = torch.zeros(b, dtype=torch.long, device=device)
        self.paused_at = torch.full((b,), NEVER, device=device)
        self.keyword_at = torch.full((b,), NEVER, device=device)
        self.over = torch.zeros(b, dtype=torch.bool, device=device)

    def adjust(
        self, logits: Float[Tensor, "r v"], rows: Int[Tensor, " r"]
    ) -> tuple[Float[Tensor, "r v"], Bool[Tensor, " r"] | None]:
        return self.latent.adjust(logits, rows), self.latent.bent(rows)

    def hidden(self, rows: Int[Tensor, " r"]) -> Bool[Tensor, " r"] | None:
        return self.latent.hidden(rows)

    def after(
        self, tokens: Int[Tensor, " r"], logprobs: Float[Tensor, " r"], rows: Int[Tensor, " r"]
    ) -> Mapping[int, Sequence[Insertion]]:
        if self.thresholds is None:
            return {}
        hidden, bent = self.latent.hidden(rows), self.latent.bent(rows)
        if bent is not None:
            self.latent.drawn(rows[bent])
        if hidden is None:
            return self.interruptions(tokens, logprobs, rows, self.thresholds)
        text = ~hidden
        closed = self.latent.drawn(rows[hidden])
        return closed | self.interruptions(tokens[text], logprobs[text], rows[text], self.thresholds)

    def interruptions(
        self, tokens: Int[Tensor, " r"], logprobs: Float[Tensor, " r"], rows: Int[Tensor, " r"], below: Thresholds
    ) -> dict[int, Sequence[Insertion]]:
        """What to do after a text token of the completions `rows`. The device is waited for once."""
        self.confidences.push(rows, logprobs.exp())
        place, confidence = self.confidences.count[rows], self.confidences.confidence(rows)
        confidence = confidence.masked_fill(place < self.min_position, torch.inf)
        if "until" in self.phrases:
            over = self.over[rows] | self.phrases["until"].found(rows, tokens)
            self.over[rows] = over
            confidence = confidence.masked_fill(over, torch.inf)
        unsure = confidence < self.pause_threshold(tokens, rows, place, below.pause)
        may = (self.pauses[rows] < self.max_pauses) & (place - self.paused_at[rows] >= self.gap)
        lost = torch.zeros_like(unsure) if below.abort is None else confidence < below.abort
        under_way = self.latent.bent(rows)
        pausing = unsure & may & ~lost if under_way is None else unsure & may & ~lost & ~under_way
        if not (pausing | lost).any():
            return {}
        begun = rows[pausing]
        self.pauses[begun] += 1
        self.paused_at[begun] = place[pausing]
        inserted = self.latent.open(begun)
        ended = {row: [Abort()] for row in rows[lost].tolist()}
        return ended | {row: [inserted] for row in begun.tolist()}

    def pause_threshold(
        self, tokens: Int[Tensor, " r"], rows: Int[Tensor, " r"], place: Int[Tensor, " r"], below: float
    ) -> Float[Tensor, " r"] | float:
        """`below`, and behind a keyword a higher one, as long as there is a bias."""
        if not (self.training and self.bias and "keywords" in self.phrases):
            return below
        latest = torch.where(self.phrases["keywords"].found(rows, tokens), place, self.keyword_at[rows])
        self.keyword_at[rows] = latest
        near = place - latest < self.keywords.reach
        return torch.full_like(near, below, dtype=torch.float).masked_fill(near, raised(below, self.bias))

    def learned(self) -> Thresholds | None:
        """The thresholds that training has set; None before it has seen enough."""
        pause = self.lowest.at(self.pause_quantile)
        if pause is None:
            return None
        abort = None if self.abort_quantile is None else self.lowest.at(self.abort_quantile)
        return Thresholds(pause, abort, self.window, self.min_position)

    def given(self, policy: AudioLM) -> Thresholds | None:
        """The thresholds of the file that `thresholds` names; training may begin from a policy that has none."""
        if self.source is None:
            return None
        file = Path(policy.path) / FILE if self.source == "policy" else Path(self.source)
        if self.training and self.source == "policy" and not file.is_file():
            return None
        return read_thresholds(file, self.window, self.min_position)

    def lowest_confidences(self, rollouts: Rollouts) -> Float[Tensor, " b"]:
        """The lowest mean that each completion came to, of those that are looked at; NaN: there was none.

        Nobody looks behind the token that ends a completion, nor behind `until`.
        """
        roles = rollouts.completions.roles
        text = (roles == Role.SAMPLED) | (roles == Role.BENT)
        means = window_confidences(rollouts.sampling_logprobs, text, self.window)
        place, count = torch.arange(1, 1 + means.shape[1], device=means.device), text.sum(1, keepdim=True)
        gave_up = torch.tensor([[reason == "abort"] for reason in rollouts.finish], device=means.device)
        looked_at = (place >= self.min_position) & (place < count + gave_up) & ~self.behind_until(rollouts, text)
        lowest = torch.where(looked_at, means, torch.nan).nan_to_num(nan=torch.inf).amin(1)
        return lowest.masked_fill(lowest.isinf(), torch.nan)

    def behind_until(self, rollouts: Rollouts, text: Bool[Tensor, "b t"]) -> Bool[Tensor, "b t"]:
        """At place i whether the phrase `until` stands within the first i + 1 tokens of the text of the row."""
        if "until" not in self.phrases:
            return torch.zeros_like(text)
        phrase, rows = self.phrases["until"], torch.arange(len(text), device=text.device)
        order = (~text).to(torch.uint8).argsort(dim=1, stable=True)
        phrase.begin(len(text))
        found = [phrase.found(rows, tokens) for tokens in rollouts.completions.ids.gather(1, order).T]
        return torch.stack(found, 1).cummax(1).values

    def learn(self, rollouts: Rollouts, progress: float, over_ranks: Callable[[Tensor], Sequence[Tensor]]) -> None:
        self.lowest.add(torch.cat(list(over_ranks(self.lowest_confidences(rollouts).cpu()))))
        self.bias = self.keywords.bias_at(progress) if self.keywords else 0.0

    def metrics(self, rollouts: Rollouts) -> dict[str, Float[Tensor, " b"]]:
        below = self.thresholds
        tau = {} if below is None else {"pause_threshold": below.pause, "abort_threshold": below.abort}
        fixed = {name: torch.full((len(rollouts),), value) for name, value in tau.items() if value is not None}
        return pause_statistics(rollouts, self.latent.role) | {"lgc": self.lowest_confidences(rollouts).cpu()} | fixed

    def state_dict(self) -> dict[str, Any]:
        return {"lowest": self.lowest.values, "bias": self.bias}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.lowest.values, self.bias = state["lowest"], state["bias"]

    def save(self, folder: Path) -> None:
        found = self.learned() or self.thresholds
        if found is not None:
            found.write(folder)
