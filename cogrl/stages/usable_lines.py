"""The check of every line by the stage that is to use it: each rank looks at its share, and all hear what was found."""

from collections.abc import Callable, Sequence

from torch.utils.data import Dataset

from cogrl.progress import progress
from cogrl.ranks import patiently_gathered, place
from cogrl.types import Example

_MOST = 20


def refuse_unusable(examples: Sequence[Example] | Dataset, validate: Callable[[Example], str | None]) -> None:
    """Raises ValueError on every rank with the first twenty reasons of `validate`, each as `file:line (id): reason`.

    A ValueError or OSError of `validate` itself ends the check and is raised on every rank. No example is kept.
    Collective: every rank makes this call.
    """
    rank, ranks = place()
    share: Sequence[int] = range(rank, len(examples), ranks)
    wrong: list[tuple[int, str]] = []
    error: ValueError | OSError | None = None
    for number in progress(share, "check of lines by the stage", unit="line") if rank == 0 else share:
        example = examples[number]
        try:
            reason = validate(example)
        except (ValueError, OSError) as raised:
            error = raised
            break
        if reason:
            wrong.append((number, f"{example.where} ({example.id}): {reason}"))
    reports = patiently_gathered((error, len(wrong), wrong[:_MOST]))
    for raised, _, _ in reports:
        if raised is not None:
            raise raised
    count = sum(many for _, many, _ in reports)
    if count:
        first = sorted(pair for _, _, pairs in reports for pair in pairs)[:_MOST]
        more = [f"... and {count - _MOST} more"] if count > _MOST else []
        raise ValueError("\n".join([*(reason for _, reason in first), *more]))
