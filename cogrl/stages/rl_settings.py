"""Settings of a policy-gradient stage that make no sense together: refused before anything is read."""

from collections.abc import Mapping, Sequence

from cogrl.formats import format_named
from cogrl.rewards.composite import Reward, WeightedSum
from cogrl.stages.objective import Objective
from cogrl.stages.section_credit import SectionCredit


def check_counts(group_size: int, updates_per_rollout: int, passes: int) -> None:
    """Raises ValueError for a group without a comparison, and for passes that do not split a rollout evenly."""
    if group_size < 2:
        raise ValueError(f"group_size={group_size}: a group needs at least 2 completions to be compared")
    if min(updates_per_rollout, passes) < 1:
        raise ValueError(f"updates_per_rollout={updates_per_rollout} and passes={passes} must be at least 1")
    if updates_per_rollout % passes:
        raise ValueError(f"updates_per_rollout={updates_per_rollout} is not a multiple of passes={passes}")


def check_reference(objective: Objective, reference: str | None) -> None:
    """Raises ValueError for a KL penalty without a reference, and for a reference that nothing is held to."""
    if bool(objective.kl_coef) != bool(reference):
        raise ValueError(
            f"objective.kl_coef={objective.kl_coef} and reference={reference!r}: a KL penalty needs a reference "
            "(base: the policy without its adapters, or the folder of a frozen one), and without it a reference is "
            "of no use; set both or neither"
        )


def check_section_credit(credit: SectionCredit | None, formats: Sequence[str], reward: Reward) -> None:
    """Raises ValueError for a section that none of the formats has, and for a term that the reward does not have."""
    if credit:
        credit.check_sections(formats)
        if isinstance(reward, WeightedSum):
            credit.check_terms(reward.terms)


def whole_weights(formats: Sequence[str], given: Mapping[str, float] | None) -> dict[str, float]:
    """A weight for each format, 1 where none is given.

    Raises ValueError for no formats, for one that there is not, and for a weight of one that is not in use.
    """
    for name in formats:
        format_named(name)  # raises for one that there is not
    if not formats or not set(given or {}) <= set(formats):
        raise ValueError(f"formats={formats}, format_weights={given}: weights are of the formats in use")
    return dict.fromkeys(formats, 1.0) | dict(given or {})
