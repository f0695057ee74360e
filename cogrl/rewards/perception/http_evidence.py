"""Facts from a recogniser or a tagger behind an HTTP server of one's own.

One request a clip, `POST url` with JSON: {"audio": a 16-bit WAV file in base64}. The answer is a JSON object of which
every key may be left out:

    {"turns": [{"speaker": "low", "text": "kettle river"}, ...], "labels": ["rain"], "speakers": 2}

`turns` are in order; without `speaker` the words are those of anybody, which is right for a server whose names for
speakers are not those of the answers. `labels` is what is heard around the speech, [] for nothing. `speakers` is how
many speak. What an answer leaves out is not known.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from cogrl.audio import wav_bytes
from cogrl.chat.client import ChatClient
from cogrl.chat.endpoint import Endpoint, Reply
from cogrl.chat.http import Refused
from cogrl.chat.question import Failure, Question, Usage
from cogrl.chat.retry import RetryPolicy
from cogrl.rewards.perception.claims import Claim, Kind, label_claims, name_claims, plain_name, word_claims
from cogrl.rewards.perception.clip_evidence import ClipEvidence
from cogrl.rewards.perception.facts import Facts
from cogrl.types import Waveform


class HttpEvidence(ClipEvidence):
    """A recogniser, a tagger or both over HTTP; see the module for what is asked and answered.

    A batch is asked in one go, each clip once, and waits `deadline_s` at most. What has no usable answer after the
    retries fails the answers about that clip: they train nothing and count as failures of the reward, never as 0.

    Args:
        url: where to post.
        api_key_env: the environment variable with a bearer token; None sends none.
        sampling_rate: in Hz, of the clips' waveforms.
        deadline_s: longest time a batch may take.
        retry: how often and how long a clip is asked about.
        concurrency: how many requests are under way at once.
        cache: file of answers kept by the content of the clip alone, so one for each server; None keeps none.
        count_slack: a count of speakers that is off by no more than this is neither right nor wrong.
    """

    def __init__(
        self,
        url: str,
        api_key_env: str | None = None,
        sampling_rate: int = 16000,
        deadline_s: float = 60.0,
        retry: RetryPolicy | None = None,
        concurrency: int = 8,
        cache: Path | None = None,
        count_slack: int = 0,
    ) -> None:
        if deadline_s <= 0:
            raise ValueError(f"deadline_s={deadline_s} must be above 0")
        self.client = ChatClient(ClipEndpoint(url, api_key_env=api_key_env), retry or RetryPolicy(), concurrency, cache)
        super().__init__(sampling_rate, self.client, deadline_s, count_slack)
        self.deadline_s, self.count_slack = deadline_s, count_slack

    def facts_of_clips(self, waveforms: Sequence[Waveform]) -> list[Facts | Exception]:
        files = [base64.b64encode(wav_bytes(waveform, self.sampling_rate)).decode() for waveform in waveforms]
        replies = self.client.ask([Question("", file, self._read) for file in files], self.deadline_s)
        return [entry.error if isinstance(entry, Failure) else entry.value for entry in replies.entries]

    def _read(self, content: str) -> Facts:
        """Raises ValueError for an answer of another form, which is then asked for once more."""
        found = _Found.model_validate_json(content)
        known: dict[Kind, tuple[Claim, ...]] = {}
        if found.labels is not None:
            known["label"] = tuple(claim for label in found.labels or ["none"] for claim in label_claims(label))
        if found.speakers is not None:
            known["count"] = (Claim("speaker", "count", str(found.speakers)),)
        if found.turns is not None:
            names = [plain_name(turn.speaker) for turn in found.turns]
            texts = [turn.text for turn in found.turns]
            known["word"] = tuple(word_claims(list(zip(names, texts, strict=True))))
            if names and all(names):
                known["name"] = tuple(name_claims(list(dict.fromkeys(names))))
        return Facts(known, self.count_slack)


@dataclass(frozen=True)
class ClipEndpoint(Endpoint):
    """An address that is posted a clip: the user's message of a question, which is a file in base64."""

    model: str = field(default="", init=False)
    path: ClassVar[str] = ""

    def body(self, question: Question) -> dict[str, Any]:
        return {"audio": question.user}

    def reply(self, content: str) -> Reply | Refused:
        return Reply(content, Usage(requests=1, unmetered=1))


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    speaker: str = ""


class _Found(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    turns: list[_Turn] | None = None
    labels: list[str] | None = None
    speakers: NonNegativeInt | None = None
