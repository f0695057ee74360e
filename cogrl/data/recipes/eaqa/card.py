"""The card of an EAQA build: how many questions of which task, where their answers lie, what was left out."""

from collections import Counter
from collections.abc import Mapping, Sequence

from cogrl.markdown import markdown_table
from cogrl.types import Example

_SHOWN = 20


def card(title: str, about: str, manifests: Mapping[str, Sequence[Example]], rejected: Mapping[str, str]) -> str:
    """Markdown: questions by task and manifest, which letters are right, lengths, evidence, what was left out."""
    everything = [example for rows in manifests.values() for example in rows]
    tasks = list(dict.fromkeys(str(example.task) for example in everything))
    lengths = {example.audio: example.duration_s or 0 for example in everything}.values()
    levels = [example.snr_db or 0 for example in everything]
    evidence = [span.duration_s for example in everything for span in example.evidence]
    lines = [
        f"# {title}",
        "",
        f"{len(everything)} lines about {len(lengths)} clips, {sum(lengths) / 3600:.2f} hours of 16 kHz mono FLAC, "
        f"{min(lengths):.2f} s to {max(lengths):.2f} s a clip, {min(levels):.1f} dB to {max(levels):.1f} dB SNR. "
        f"Licence: {', '.join(sorted({example.licence for example in everything}))}.",
        "",
        about.replace("\n", " "),
        "",
        markdown_table(
            ("task", "options", *manifests, "right answers by letter"), (_counts(task, manifests) for task in tasks)
        ),
        f"The answer is heard in {len(evidence) / len(everything):.2f} parts of {min(evidence):.2f} s to "
        f"{max(evidence):.2f} s, {sum(evidence) / len(evidence):.2f} s on the average.",
        "",
        f"Left out: {len(rejected)}, all of them in rejected.jsonl." if rejected else "Nothing was left out.",
        *(f"- {name}: {reason}" for name, reason in list(rejected.items())[:_SHOWN]),
    ]
    return "\n".join(lines) + "\n"


def _counts(task: str, manifests: Mapping[str, Sequence[Example]]) -> list[str]:
    found = {name: [row for row in rows if row.task == task] for name, rows in manifests.items()}
    rows = [row for part in found.values() for row in part]
    letters = Counter("ABCD"[row.choices.index(str(row.answer))] for row in rows if row.choices)
    options = ", ".join(sorted({str(len(row.choices)) if row.choices else "open" for row in rows}))
    by_letter = ", ".join(f"{letter} {count}" for letter, count in sorted(letters.items()))
    return [task, options, *(str(len(part)) for part in found.values()), by_letter]
