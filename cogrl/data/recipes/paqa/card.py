"""The card of a PAQA-mini build: how many questions of which task, and what chance is."""

from collections import Counter
from collections.abc import Mapping, Sequence

from cogrl.markdown import markdown_table
from cogrl.types import Example


def card(manifests: Mapping[str, Sequence[Example]], tier: str, seed: int) -> str:
    """Markdown: questions by task and manifest, which letters are right, SNR, durations and terms."""
    everything = [example for rows in manifests.values() for example in rows]
    tasks = sorted({str(example.task) for example in everything})
    lengths = [example.duration_s or 0 for example in everything]
    levels = [example.snr_db or 0 for example in everything]
    environments = Counter(str(example.environment) for example in everything)
    licences = ", ".join(sorted({example.licence for example in everything}))
    lines = [
        "# PAQA-mini",
        "",
        f"Tier `{tier}`, seed {seed}: {len(everything)} questions about {sum(lengths) / 3600:.2f} hours of 16 kHz mono "
        f"FLAC, {min(lengths):.2f} s to {max(lengths):.2f} s a clip, {min(levels):.1f} dB to {max(levels):.1f} dB SNR. "
        f"Licence: {licences}.",
        "",
        "One to three voices, called low, middle and high by their pitch, say two words each over an environment. In "
        "every task and manifest each letter, and each option whenever it is offered, is right equally often: without "
        "hearing, the best answer is at chance. sft, rl, val and test share no speaker and no pair of words.",
        "",
        markdown_table(
            ("task", "chance", *manifests, "right answers by letter"), (_counts(task, manifests) for task in tasks)
        ),
        f"Environments: {', '.join(f'{name} {count}' for name, count in sorted(environments.items()))}.",
        "",
        "`msqa_hard` and `envqa_hard` are further tests at 0-5 dB, of the speakers and words of `test`. At such a "
        "level the words are hard to hear. The environment is loud, so the questions of `envqa_hard` are not hard by "
        "themselves: its traces are, which have to report the words as well.",
    ]
    return "\n".join(lines) + "\n"


def _counts(task: str, manifests: Mapping[str, Sequence[Example]]) -> list[str]:
    found = {name: [row for row in rows if row.task == task] for name, rows in manifests.items()}
    rows = [row for part in found.values() for row in part]
    letters = Counter("ABCD"[row.choices.index(str(row.answer))] for row in rows)
    by_letter = ", ".join(f"{letter} {count}" for letter, count in sorted(letters.items()))
    return [task, f"{100 / len(rows[0].choices):.0f} %", *(str(len(part)) for part in found.values()), by_letter]
