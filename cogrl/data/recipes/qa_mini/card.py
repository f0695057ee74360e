"""The card of a QA-mini build: how many questions of which task, and what chance is."""

from collections import Counter
from collections.abc import Mapping, Sequence

from cogrl.markdown import markdown_table
from cogrl.types import Example


def card(splits: Mapping[str, Sequence[Example]], tier: str, seed: int) -> str:
    """Markdown: questions by task and split, which letters are right, durations and terms."""
    everything = [example for rows in splits.values() for example in rows]
    tasks = sorted({str(example.task) for example in everything})
    hours = sum(example.duration_s or 0 for example in everything) / 3600
    longest = max(example.duration_s or 0 for example in everything)
    licences = ", ".join(sorted({example.licence for example in everything}))
    lines = [
        "# QA-mini",
        "",
        f"Tier `{tier}`, seed {seed}: {len(everything)} questions about {hours:.2f} hours of 16 kHz mono FLAC, the "
        f"longest clip {longest:.2f} s. Licence: {licences}.",
        "",
        "Synthetic speech and sounds; every answer is known because the clip was made for it. In every task and split "
        "each letter, and each option whenever it is offered, is right equally often: without hearing, the best answer "
        "is at chance. Splits share no speaker, no sentence and no list of words.",
        "",
        markdown_table(
            ("task", "chance", *splits, "right answers by letter"), (_counts(task, splits) for task in tasks)
        ),
        "`targets.choice` is the text of the right option, `targets.think_choice` the same after a thought that states "
        "what is heard. `synthesis` holds the emotion that was rendered, or the measured F0 of the two voices.",
    ]
    return "\n".join(lines) + "\n"


def _counts(task: str, splits: Mapping[str, Sequence[Example]]) -> list[str]:
    found = {name: [row for row in rows if row.task == task] for name, rows in splits.items()}
    rows = [row for part in found.values() for row in part]
    letters = Counter("ABCD"[row.choices.index(str(row.answer))] for row in rows)
    by_letter = ", ".join(f"{letter} {count}" for letter, count in sorted(letters.items()))
    return [task, f"{100 / len(rows[0].choices):.0f} %", *(str(len(part)) for part in found.values()), by_letter]
