"""Re-listening: behind a segment that the policy cites, that part of its clip is inserted. (docs/echo.md)"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor

from cogrl.audio import to_seconds
from cogrl.formats.segments import CLOSED, ROUNDING_S, Citation, SegmentRules
from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controller import Controller, Insertion, Tokens
from cogrl.rollout.controllers.drawn_text import DrawnIds, tokens_that_close
from cogrl.rollout.controllers.latent import Filler
from cogrl.rollout.controllers.relisten_figures import relisten_figures
from cogrl.rollout.controllers.segment_sources import SOURCES, ClipsOfCall, Request, clips_of_call
from cogrl.rollout.excerpts import EncodedExcerpts
from cogrl.types import Example, ModelInput, Role, Rollouts, Span, Waveform

Hears = Literal["cited", "random", "other_clip", "whole", "gold", "gold_seconds", "filler", "nothing"]


class Relisten(Controller):
    """Behind each `<seg>s, e</seg>` that the rules allow, those seconds of the clip are inserted and read.

    What is read as a citation is what the policy has drawn, and nothing that was inserted. The clip is always the one
    of the prompt, as the policy read it; a prompt without audio has nothing to cut. An insertion that does not fit into
    `audio_tokens`, or into the positions that the policy has left, is left out as a whole, and the answer goes on. The
    same rules in training, evaluation and `cogrl generate`. (Echo, arXiv:2602.11909, section 3)

    Args:
        rules: which citations are heard again.
        hears: what is inserted: what was `cited`, or as a control: as many seconds at a `random` place of the clip, the
            same times of the `other_clip` that follows in the batch, the `whole` clip, the `gold` segments in their
            order, or the whole seconds that these lie in (`gold_seconds`), as many latent tokens as a `filler`, or
            `nothing`.
        audio_tokens: how many placeholders an answer gets at most; None: as many as the rules and the positions allow.
        filler: the token of `filler`, an entry of the tokenizer.
        seed: of the random places.

    Raises ValueError for `audio_tokens` below 1.
    """

    def __init__(
        self,
        rules: SegmentRules = SegmentRules(),
        hears: Hears = "cited",
        audio_tokens: int | None = None,
        filler: str = " ...",
        seed: int = 0,
    ) -> None:
        if audio_tokens is not None and audio_tokens < 1:
            raise ValueError(f"audio_tokens={audio_tokens} must be at least 1; for no audio at all set hears: nothing")
        self.rules, self.hears, self.audio_tokens = rules, hears, audio_tokens
        self.filler, self.seed = Filler(filler, 1), seed
        self.stops = () if hears == "nothing" else (CLOSED,)
        self.tokenizer: Any = None
        self.spare: tuple[Waveform, Example] | None = None
        self.replaced_s: dict[str, float] = {}

    def begin(self, policy: AudioLM, inputs: Sequence[ModelInput], group_size: int) -> None:
        """Raises ValueError where the policy can not hear the shortest segment, or a control lacks what it inserts."""
        too_short = policy.audio_length_error(self.rules.min_s - ROUNDING_S)  # a segment may end so far behind its clip
        if too_short:
            raise ValueError(f"rules.min_s={self.rules.min_s}: {too_short}")
        if self.hears == "filler":
            self.filler.begin(policy, 1)
        if self.tokenizer is not policy.tokenizer:
            self.tokenizer = policy.tokenizer
            self.closing = tokens_that_close(policy.tokenizer, CLOSED).to(policy.device)
        self.call = self.clips_of(policy, inputs)
        self.policy, self.group_size, b = policy, group_size, len(inputs) * group_size
        self.drawn, self.encoded = DrawnIds(b, policy.device), EncodedExcerpts(policy)
        self.decided = [0] * b
        self.cited: list[list[Span]] = [[] for _ in range(b)]
        self.placeholders = [0] * b

    def clips_of(self, policy: AudioLM, inputs: Sequence[ModelInput]) -> ClipsOfCall:
        """The clips to cut, checked for what a control needs."""
        call = clips_of_call(inputs, [clip.example for clip in self.clips], policy.sampling_rate, self.seed)
        # a control's clip may be of another length than the example's
        self.replaced_s = {} if self.training else {one.id: call.duration_s(i) for i, one in enumerate(call.examples)}
        if self.hears in ("gold", "gold_seconds"):
            call.check_evidence()
        if self.hears == "other_clip":
            self.spare = call.with_another(self.spare)
        return call

    def after(
        self, tokens: Int[Tensor, " r"], logprobs: Float[Tensor, " r"], rows: Int[Tensor, " r"]
    ) -> Mapping[int, Sequence[Insertion]]:
        self.drawn.push(rows, tokens)
        closing = self.closing[tokens.clamp(max=len(self.closing) - 1)]
        if not closing.any():
            return {}
        some = rows[closing]
        texts = self.policy.tokenizer.batch_decode(self.drawn.of(some))
        asked = zip(some.tolist(), texts, self.positions_left[closing].tolist(), strict=True)
        found = {row: self.insertions(row, text, left) for row, text, left in asked}
        return {row: items for row, items in found.items() if items}

    def insertions(self, row: int, text: str, positions_left: int) -> list[Insertion]:
        """What is put behind the citations that the last token of a completion has closed."""
        prompt, place = divmod(row, self.group_size)
        duration_s = self.call.duration_s(prompt)
        citations = self.rules.citations(text, duration_s)
        new, self.decided[row] = citations[self.decided[row] :], len(citations)
        found: list[Insertion] = []
        for citation in new:
            decided = self.rules.decided(citation, duration_s, self.cited[row])
            if decided.invalid is not None:
                continue
            request = Request(prompt, place, len(self.cited[row]), decided.span)
            item, placeholders, tokens = self.insertion(request)
            over = self.audio_tokens is not None and self.placeholders[row] + placeholders > self.audio_tokens
            if over or tokens > positions_left:
                continue
            self.cited[row].append(decided.span)
            self.placeholders[row] += placeholders
            positions_left -= tokens
            found += [item] if item is not None else []
        return found

    def insertion(self, request: Request) -> tuple[Insertion | None, int, int]:
        """What is inserted for one citation (None: nothing), its placeholders, and all its tokens."""
        part = SOURCES[self.hears](self.call, request)
        if part is None:
            return None, 0, 0
        excerpt = self.call.excerpt(request, part)
        placeholders = self.encoded.token_count(excerpt)
        tokens = placeholders + sum(map(len, self.policy.audio_markers))
        if self.hears == "filler":
            return Tokens(self.filler.inserted.ids * tokens, Role.LATENT), placeholders, tokens
        return excerpt, placeholders, tokens

    def outcomes(self, rollouts: Rollouts) -> list[list[Citation]]:
        """The citations of each completion, and why those were refused that were.

        Of a control, `too_much` is what the rules refuse, and not what the budget or the positions do.
        """
        rate, size = self.policy.sampling_rate, rollouts.group_size
        own = [self.replaced_s.get(c.example.id, to_seconds(len(c.waveform), rate)) for c in rollouts.clips]
        return [
            self.rules.outcomes(text, own[row // size], inserted)
            if self.hears == "cited"
            else self.rules.citations(text, own[row // size])
            for row, (text, inserted) in enumerate(zip(rollouts.texts, rollouts.spans, strict=True))
        ]

    def metrics(self, rollouts: Rollouts) -> dict[str, Float[Tensor, " b"]]:
        """See `relisten_figures`."""
        return relisten_figures(rollouts, self.outcomes(rollouts))
