"""The tables of perception, and what of it is kept of each answer."""

from collections.abc import Mapping, Sequence

from cogrl.evaluate.choice.answers import ChoiceAnswers
from cogrl.evaluate.metrics import Figure
from cogrl.evaluate.perception.figures import PARTS, STATUSES
from cogrl.evaluate.perception.perceived import Perceived
from cogrl.evaluate.tables import number, percent
from cogrl.markdown import markdown_table
from cogrl.rewards.perception.claims import HEARD

_SHARES = {
    "implied": "rule on own trace, %",
    "right_claims": "right claims, %",
    **{f"right_{section}": f"{section}, %" for section in HEARD},
    "wer": "WER, %",
    "cer": "CER, %",
    "attribution": "right speaker, %",
    "environment_f1": "environment F1, %",
    "environment_map": "environment mAP, %",
}
_PARTS = {name: name.replace("_", " ").replace("snr ", "SNR ") for name in PARTS}


def claims_table(asked: Sequence[ChoiceAnswers], figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """What the answers in sections say they hear, one row a policy and format."""
    rows, counts = [], []
    for answers in asked:
        m = {name: figures[answers.name].get(f"{answers.format}_{name}") for name in (*_SHARES, *STATUSES)}
        rows.append([answers.name, answers.format, *(percent(m[name]) if m[name] else "-" for name in _SHARES)])
        counts.append([answers.name, answers.format, *(number(m[status], 2) for status in STATUSES)])
    return (
        "What the answers say they hear, held against the lines' gold: supported claims over those expected or made, "
        "whichever are more.\n\n"
        + markdown_table(["policy", "asked in", *_SHARES.values()], rows)
        + "\n"
        + markdown_table(["policy", "asked in", *(f"{status} claims an answer" for status in STATUSES)], counts)
    )


def part_table(asked: Sequence[ChoiceAnswers], figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """Accuracy by band of SNR, in dB, and by level; '' where the lines have neither SNR nor turns."""
    known = [name for name in PARTS if any(f"{a.format}_accuracy_{name}" in figures[a.name] for a in asked)]
    if not known:
        return ""
    rows = [
        [
            answers.name,
            answers.format,
            *(percent(figures[answers.name][f"{answers.format}_accuracy_{n}"]) for n in known),
        ]
        for answers in asked
    ]
    return "Accuracy, %, by SNR in dB and by number of voices.\n\n" + markdown_table(
        ["policy", "asked in", *(_PARTS[name] for name in known)], rows
    )


def perception_record(one: Perceived) -> dict:
    """What is kept of an answer beside its text: counts by section, its error rates, and what its trace implies."""
    return {
        "snr_db": one.example.snr_db,
        "voices": len({turn.speaker for turn in one.example.speech}),
        "environment": one.example.environment,
        "claims": {
            section: {status: one.checked.count(status, section) for status in STATUSES}
            | {"expected": one.checked.expected.get(section, 0), "right": one.checked.value(section)}
            for section in HEARD
        },
        "word_error_rate": None if one.word_error_rate != one.word_error_rate else one.word_error_rate,
        "implied": one.implied,
        "well_formed": one.answer.fields is not None,
    }
