"""The card of a LIME corpus: counts, balance, what which gate refused, where the parts come from and on what terms."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cogrl.data.recipes.lime_clips import Clip
from cogrl.data.recipes.lime_gates import CLIP_GATES
from cogrl.data.recipes.lime_outcome import Outcome
from cogrl.data.recipes.lime_scenarios import SCENARIOS
from cogrl.markdown import markdown_table
from cogrl.types import EMOTIONS, INTENSITIES, Example

Row = tuple[str, str, str, str]
"""Of the table of sources: part, source, licence or terms, what it took."""


def write_card(
    file: Path,
    splits: Mapping[str, Sequence[Example]],
    result: Outcome,
    clips: Sequence[Clip],
    sources: Sequence[Row],
    notes: Sequence[str],
) -> None:
    """`clips` are those that were planned; `notes` say what was not checked."""
    everything = [example for rows in splits.values() for example in rows]
    hours = sum(example.duration_s or 0.0 for example in everything) / 3600
    readings = len({clip.reading for clip in clips})
    used = Counter(example.scenario for example in everything)
    lines = [
        "# LIME",
        "",
        f"{len(everything)} clips, {hours:.2f} hours of 16 kHz mono FLAC, built after the recipe of LIME-440K "
        "(arXiv:2606.06940): the same emotionally ambiguous text spoken with seven emotions at three intensities.",
        "A reading (one text, one speaker) is kept whole or not at all, so neither words, speaker nor intensity show "
        "the emotion: a guess from the text alone is right one time in seven. Splits share no speaker and no text.",
        "",
        markdown_table(("split", "clips", "hours", "speakers", "texts", *EMOTIONS), map(_counts, splits.items())),
        "## What was rejected",
        "",
        markdown_table(("what", "gate or reason", "count"), _rejections(result)),
        f"{len(result.kept) // (len(EMOTIONS) * len(INTENSITIES))} of {readings} readings are kept. Every rejection is "
        "a line of `rejected.jsonl`.",
        *(f"- {note}" for note in notes),
        "",
        "## Sources",
        "",
        markdown_table(("part", "source", "licence or terms", "what it took"), sources),
        "## Scenarios",
        "",
        "Those marked * are named in the paper's figure, the others are cogrl's.",
        "",
        markdown_table(
            ("scenario", "about", "clips"),
            (
                (f"{name}{'*' if SCENARIOS[name].named else ''}", SCENARIOS[name].about, str(used[name]))
                for name in used
            ),
        ),
        "`valence`, `arousal`, `dominance` are the label's anchor times the intensity plus noise (sd 0.05), not "
        "measured on the voice. `synthesis` holds the synthesiser's own parameters and, under `measured`, what is "
        "measured on the file.",
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _counts(split: tuple[str, Sequence[Example]]) -> tuple[str, ...]:
    name, rows = split
    labels = Counter(row.emotion for row in rows)
    hours = sum(row.duration_s or 0.0 for row in rows) / 3600
    people, texts = (len({getattr(row, key) for row in rows}) for key in ("speaker", "text_group"))
    return (name, str(len(rows)), f"{hours:.2f}", str(people), str(texts), *(str(labels[label]) for label in EMOTIONS))


def _rejections(result: Outcome) -> Iterable[tuple[str, str, str]]:
    """Every gate with its count, those that refused nothing too."""
    gates = {"take": [gate.__name__ for gate in CLIP_GATES], "reading": ["complete", "same_punctuation"]}
    for kind in ("sentence", "thought", "take", "clip", "reading"):
        found = result.count(kind)
        for reason in gates.get(kind, sorted(found)):
            yield kind, reason, str(found[reason])
