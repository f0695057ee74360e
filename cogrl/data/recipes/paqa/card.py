"""The card of a PAQA build: how many questions of which task, what chance is, what was left out."""

from collections import Counter
from collections.abc import Mapping, Sequence

from cogrl.data.recipes.paqa.plan import SPEECH_ALONE
from cogrl.markdown import markdown_table
from cogrl.types import Example

_HARD = """`msqa_hard` and `envqa_hard` are further tests at 0-5 dB, of the material of `test`. At such a level the
words are hard to hear. The environment is loud, so the questions of `envqa_hard` are not hard by themselves: its traces
are, which have to report the words as well."""
_SHOWN = 20


def card(title: str, about: str, manifests: Mapping[str, Sequence[Example]], rejected: Mapping[str, str]) -> str:
    """Markdown: questions by task and manifest, which letters are right, SNR, durations, terms, what was left out."""
    manifests = {name: rows for name, rows in manifests.items() if name != SPEECH_ALONE}
    everything = [example for rows in manifests.values() for example in rows]
    tasks = sorted({str(example.task) for example in everything})
    lengths = {example.audio: example.duration_s or 0 for example in everything}.values()
    levels = [example.snr_db or 0 for example in everything]
    environments = Counter(str(example.environment) for example in everything)
    errors = Counter(str(kind) for example in everything if (kind := example.synthesis.get("reflection")))
    licences = ", ".join(sorted({example.licence for example in everything}))
    lines = [
        f"# {title}",
        "",
        f"{len(everything)} lines about {len(lengths)} clips, {sum(lengths) / 3600:.2f} hours of 16 kHz mono FLAC, "
        f"{min(lengths):.2f} s to {max(lengths):.2f} s a clip, {min(levels):.1f} dB to {max(levels):.1f} dB SNR. "
        f"Licence: {licences}.",
        "",
        about.replace("\n", " "),
        "",
        markdown_table(
            ("task", "chance", *manifests, "right answers by letter"), (_counts(task, manifests) for task in tasks)
        ),
        f"Environments: {_listed(environments)}.",
        f"Reflection triples in sft, by planted error: {_listed(errors) or 'none'}.",
        *(["", _HARD.replace("\n", " ")] if any(name.endswith("_hard") for name in manifests) else []),
        "",
        f"`{SPEECH_ALONE}` has the questions of `test` about the speech without its environment, as a control.",
        "",
        f"Left out: {len(rejected)}, all of them in rejected.jsonl." if rejected else "Nothing was left out.",
        *(f"- {name}: {reason}" for name, reason in list(rejected.items())[:_SHOWN]),
    ]
    return "\n".join(lines) + "\n"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _counts(task: str, manifests: Mapping[str, Sequence[Example]]) -> list[str]:
    found = {name: [row for row in rows if row.task == task] for name, rows in manifests.items()}
    rows = [row for part in found.values() for row in part]
    letters = Counter("ABCD"[row.choices.index(str(row.answer))] for row in rows)
    by_letter = ", ".join(f"{letter} {count}" for letter, count in sorted(letters.items()))
    chances = sorted({f"{100 / len(row.choices):.0f} %" for row in rows})
    return [task, ", ".join(chances), *(str(len(part)) for part in found.values()), by_letter]
