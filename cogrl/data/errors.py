"""Many errors as one."""

from collections.abc import Sequence

_MOST_ERRORS = 20


def raise_all(errors: Sequence[str]) -> None:
    """One ValueError for all `errors` (the first 20 in full), nothing when there are none."""
    if errors:
        more = [f"... and {len(errors) - _MOST_ERRORS} more"] if len(errors) > _MOST_ERRORS else []
        raise ValueError("\n".join([*errors[:_MOST_ERRORS], *more]))
