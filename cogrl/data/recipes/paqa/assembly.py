"""From rendered clips to the manifests of a corpus: traces, reflection triples, checks."""

from collections.abc import Sequence

from cogrl.data.manifest import check_splits
from cogrl.data.recipes.paqa.clip import without_environment
from cogrl.data.recipes.paqa.plan import SPEECH_ALONE, SPLITS
from cogrl.data.recipes.paqa.reflection import QUOTING, reflections
from cogrl.data.recipes.paqa.traces import TraceWriter, validate_trace, with_targets
from cogrl.formats.paqa import PAQA
from cogrl.types import Example


def assembled(
    made: Sequence[Example], writer: TraceWriter, reflection_share: float, seed: int
) -> tuple[dict[str, list[Example]], dict[str, str], str]:
    """(lines by manifest, in the order of their ids; reasons of those left out, by id; what the traces took).

    sft has `reflection_share` times as many reflection triples besides. Raises ValueError where two of sft, rl, val and
    test share something or nothing is left, and ConnectionError when traces did not come.
    """
    kept, rejected, report = with_targets(sorted(made, key=lambda example: example.id), writer)
    if not kept:
        first, reason = next(iter(rejected.items()))
        raise ValueError(f"every line was rejected, such as {first}: {reason}")
    manifests = {name: [row for row in kept if row.split == name] for name in dict.fromkeys(row.split for row in made)}
    for triple in reflections(manifests.get("sft", []), reflection_share, seed):
        reason = validate_trace(triple, PAQA.parse(triple.targets["paqa"]) or {}, QUOTING)
        if reason is None:
            manifests["sft"].append(triple)
        else:
            rejected[triple.id] = reason
    manifests[SPEECH_ALONE] = [without_environment(row) for row in manifests.get("test", [])]
    check_splits({name: manifests[name] for name in SPLITS if name in manifests})
    return {name: rows for name, rows in manifests.items() if rows}, rejected, report


def check_share(reflection_share: float) -> None:
    """Raises ValueError for what is no share."""
    if not 0 <= reflection_share <= 1:
        raise ValueError(f"--reflections {reflection_share:g} must lie in [0, 1]: a share of the lines of sft")
