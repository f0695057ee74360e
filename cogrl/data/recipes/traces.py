"""What a writer of targets has written, and asking a chat model to write it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cogrl.chat.client import ChatClient
from cogrl.chat.question import Answer, Question
from cogrl.progress import progress
from cogrl.types import Example


@dataclass(frozen=True)
class Traces:
    """By id: the fields of a trace; why a line got none; and whose answer did not come. `report` says what it took."""

    fields: Mapping[str, Mapping[str, str]]
    rejected: Mapping[str, str] = field(default_factory=dict)
    unanswered: Mapping[str, str] = field(default_factory=dict)
    report: str = "made on this machine"

    def check_answered(self) -> None:
        """Raises ConnectionError where answers did not come: a corpus must not shrink because a server was down."""
        if self.unanswered:
            first, reason = next(iter(self.unanswered.items()))
            count = len(self.unanswered) + len(self.fields) + len(self.rejected)
            raise ConnectionError(
                f"{len(self.unanswered)} of {count} lines got no answer ({first}: {reason}); run the same command "
                f"again, only these will be asked ({self.report})"
            )


def check_cached(client: ChatClient) -> None:
    """Raises ValueError for a client without a cache: a run that was stopped would pay for everything once more."""
    if client.cache is None:
        raise ValueError("traces are paid for by the answer: name a file in client.cache that keeps them")


def asked(client: ChatClient, examples: Sequence[Example], question: Callable[[Example], Question]) -> Traces:
    """What a chat model answers about each line, all asked at once."""
    with progress(total=len(examples), desc="traces", unit="line") as bar:
        replies = client.ask([question(example) for example in examples], done=bar.update)
    fields, rejected, unanswered = {}, {}, {}
    for example, entry in zip(examples, replies.entries, strict=True):
        if isinstance(entry, Answer):
            fields[example.id] = entry.value
        elif isinstance(entry.error, ValueError):
            rejected[example.id] = str(entry.error)
        else:
            unanswered[example.id] = str(entry.error)
    return Traces(fields, rejected, unanswered, f"{replies.usage}, {replies.seconds:.1f} s")
