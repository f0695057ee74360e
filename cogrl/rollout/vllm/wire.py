"""What a vLLM server is asked for one prompt, and which of its answers are believed. (POST /inference/v1/generate)"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from cogrl.audio import wav_bytes
from cogrl.rollout.sampling import Sampling
from cogrl.types import Waveform

_COMPLETE = ("stop", "length")
"""vLLM's finish reasons of a completion; with any other (abort) it is none."""


class AnotherVersion(ValueError):
    """The answer is of other weights than were asked for, or of unknown ones."""


class AnotherPrompt(ValueError):
    """The server reads another prompt than the policy does; asking again would not help."""


@dataclass(frozen=True)
class Drawn:
    """One stretch of a completion: its tokens, the log-probability of each, and what ended it.

    That is an end token, its length, or a stop string (`stop`), behind which it may go on.
    """

    ids: list[int]
    logprobs: list[float]
    finish: Literal["end", "length", "stop"]


@dataclass(frozen=True)
class Asked:
    """A prompt as the policy reads it, and what is wanted of it.

    Args:
        name: of the sample, for errors.
        ids: of the whole prompt, each clip's placeholder repeated for its frames, without padding; of a completion that
            has begun, with all that it has drawn and that was inserted into it.
        waveforms: the clips of the placeholders, in their order.
        clip_tokens: how many placeholders each of them has.
        barred_ids: tokens that are never drawn: only a clip has placeholders and markers.
        count: how many completions.
        seed: equal seeds draw alike, so that a request may be sent again.
        stops: texts with which a stretch ends as well.
    """

    name: str
    ids: Sequence[int]
    audio_token_id: int
    waveforms: Sequence[Waveform]
    clip_tokens: Sequence[int]
    sampling_rate: int
    sampling: Sampling
    end_ids: Sequence[int]
    barred_ids: Sequence[int]
    vocab_size: int
    count: int
    seed: int
    stops: Sequence[str] = ()

    def body(self) -> dict[str, Any]:
        """The request.

        Token ids, each clip's placeholders as the one that vLLM repeats itself, and each clip as a lossless WAV file:
        no chat template and no second tokenizer has a part in it. vLLM's greedy is a temperature of 0.
        """
        settings = {
            "n": self.count,
            "temperature": 0.0 if self.sampling.greedy else self.sampling.temperature,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "max_tokens": self.sampling.max_new_tokens,
            "seed": self.seed,
            "logit_bias": {str(id): -100.0 for id in self.barred_ids},  # vLLM's lowest: a chance of e^-100
            "logprobs": 0,  # of the token that was drawn, and of no other
            "stop_token_ids": list(self.end_ids),
            "ignore_eos": True,  # the policy's end tokens are the ones above
            "detokenize": bool(self.stops),  # where there are none to look for, there is nothing to read
            "skip_special_tokens": False,
        }
        if self.stops:
            settings |= {"stop": list(self.stops), "include_stop_str_in_output": True}
        clips = [{"type": "audio_url", "url": wav_url(each, self.sampling_rate)} for each in self.waveforms]
        ids = one_placeholder_a_clip(self.ids, self.audio_token_id, self.clip_tokens)
        return {"token_ids": ids, "sampling_params": settings, "return_token_ids": True} | (
            {"content_parts": clips} if clips else {}
        )

    def read(self, content: str, version: str) -> list[Drawn]:
        """The completions of an answer, in order.

        Raises AnotherVersion unless every token is said to be of the weights `version`; AnotherPrompt when the server
        has read other prompt tokens; ValueError for an answer that is none, or with a token that is impossible.
        """
        try:
            reply = json.loads(content)
            prompt, choices = reply["prompt_token_ids"], sorted(reply["choices"], key=lambda choice: choice["index"])
            spans = [choice["weight_versions"] for choice in choices]
            drawn = [self._drawn(choice) for choice in choices]
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"{self.name}: no answer of a vLLM server ({error!r}): {content[:200]!r}") from error
        if prompt != list(self.ids):
            raise AnotherPrompt(
                f"{self.name}: the server reads a prompt of {len(prompt or ())} tokens and the policy one of "
                f"{len(self.ids)}; {first_difference(prompt or (), self.ids)}. Start the server on the policy's own "
                "folder (its processor decides how many tokens a clip takes)"
            )
        if len(drawn) != self.count:
            raise ValueError(f"{self.name}: {len(drawn)} completions where {self.count} were asked for")
        for one, said in zip(drawn, spans, strict=True):
            check_version(self.name, said, version, len(one.ids))
        return drawn

    def _drawn(self, choice: Mapping[str, Any]) -> Drawn:
        ids, reason = choice["token_ids"], choice["finish_reason"]
        logprobs = [token["logprob"] for token in choice["logprobs"]["content"]]
        named = [token["token_id"] for token in choice["logprobs"]["content"]]
        if reason not in _COMPLETE:
            raise ValueError(f"{self.name}: a completion was given up by the server ({reason!r})")
        if not ids or named != ids or len(ids) > self.sampling.max_new_tokens:
            raise ValueError(
                f"{self.name}: {len(ids)} tokens and the log-probabilities of {len(named)}, of at most "
                f"{self.sampling.max_new_tokens}"
            )
        if not all(isinstance(id, int) and 0 <= id < self.vocab_size for id in ids):
            raise ValueError(f"{self.name}: token ids beyond the policy's {self.vocab_size}: {ids[:20]}")
        if not all(math.isfinite(value) and -1000 < value <= 1e-3 for value in logprobs):
            raise ValueError(f"{self.name}: impossible log-probabilities: {logprobs[:20]}")
        ended = ids[-1] in self.end_ids
        stopped = reason == "stop" and not ended
        if any(id in self.end_ids for id in ids[:-1]) or (stopped and choice.get("stop_reason") not in self.stops):
            raise ValueError(f"{self.name}: a completion that goes on behind, or stops before, an end token: {ids}")
        last = len(ids) == self.sampling.max_new_tokens or not stopped  # a stop string that comes with the last token
        finish = "end" if ended else "length" if last else "stop"
        return Drawn(ids, [min(value, 0.0) for value in logprobs], finish)


def check_version(name: str, spans: Any, version: str, tokens: int) -> None:
    """Raises AnotherVersion unless `spans` say of all `tokens` that the weights `version` drew them."""
    wanted = [{"version": version, "start": 0, "end": tokens}]
    if spans != wanted:
        raise AnotherVersion(f"{name}: drawn by weights {spans} where {wanted} were asked for")


def one_placeholder_a_clip(ids: Sequence[int], audio_token_id: int, clip_tokens: Sequence[int]) -> list[int]:
    """The ids without the repetitions of a clip's placeholder, where each clip has `clip_tokens` of them."""
    firsts = {0, *accumulate(clip_tokens)}
    places = accumulate((id == audio_token_id for id in ids), initial=0)
    return [id for id, place in zip(ids, places, strict=False) if id != audio_token_id or place in firsts]


def wav_url(waveform: Waveform, sampling_rate: int) -> str:
    """A waveform as the data URL of a WAV file of 32-bit floats: exactly the samples that the policy reads."""
    return "data:audio/wav;base64," + base64.b64encode(wav_bytes(waveform, sampling_rate, "FLOAT")).decode()


def first_difference(theirs: Sequence[int], ours: Sequence[int]) -> str:
    """Where two prompts part."""
    place = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours)))
    return f"from token {place} on: {list(theirs[place : place + 5])} there, {list(ours[place : place + 5])} here"
