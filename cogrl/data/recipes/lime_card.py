"""The card of a LIME-mini build: counts, hours and what each emotion did to the voice, as text and as a figure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cogrl.markdown import markdown_table
from cogrl.types import EMOTIONS, INTENSITIES, Example

MEASURES = {
    "F0, st": "{:+.1f}",
    "level, dB": "{:+.1f}",
    "tempo, ratio": "{:.2f}",
    "1-5 kHz over 0.1-1 kHz, dB": "{:+.1f}",
}


def deltas(examples: Sequence[Example]) -> dict[tuple[str, str], np.ndarray]:
    """For each (emotion, intensity), the `MEASURES` of its clips against the neutral of the same speaker and sentence.

    The neutral of a (speaker, sentence) is the median over its neutral clips. Tempo is a ratio of durations.
    """
    neutral: dict[tuple[str, str], list[np.ndarray]] = {}
    for example in examples:
        if example.emotion == "neutral":
            neutral.setdefault((example.speaker, example.text_group), []).append(_measured(example))
    rows: dict[tuple[str, str], list[np.ndarray]] = {}
    for example in examples:
        reference = np.median(neutral[example.speaker, example.text_group], axis=0)
        change = _measured(example) - reference
        change[2] = np.exp2(change[2])
        rows.setdefault((example.emotion, str(example.intensity)), []).append(change)
    return {key: np.array(values) for key, values in rows.items()}


def write_card(folder: Path, tier: str, seed: int, splits: Mapping[str, Sequence[Example]]) -> None:
    """`CARD.md` and `CARD.png` in `folder`."""
    everything = [example for examples in splits.values() for example in examples]
    changes = deltas(everything)
    _figure(changes).savefig(folder / "CARD.png", dpi=130, metadata={"Software": None})
    hours = sum(example.duration_s or 0 for example in everything) / 3600
    text = [
        "# LIME-mini",
        "",
        f"Tier `{tier}`, seed {seed}: {len(everything)} clips, {hours:.2f} hours of 16 kHz mono FLAC. "
        f"Licence: {everything[0].licence}.",
        "",
        "Synthetic speech in the shape of LIME-440K (arXiv:2606.06940): seven emotions, three intensities, neutral "
        "words. Each sentence of a speaker is read with every emotion equally often, so neither words nor speaker show "
        "the emotion. Splits share no speaker and no sentence. `conflict` is a second test: cheerful and bleak words "
        "(`text_sentiment`) in the same seven voices, read by the speakers of `test`, so that words and voice agree or "
        "contradict each other. It shows that training works; it is no evidence about human speech.",
        "",
        markdown_table(
            ("split", "clips", "hours", "speakers", "sentences", "low / mid / high"), map(_counts, splits.items())
        ),
        "## What an emotion does to the voice",
        "",
        "Measured on the files, against the neutral reading of the same speaker and sentence: mean (standard deviation "
        "over clips).",
        "",
        markdown_table(("emotion", *MEASURES), ((emotion, *_cells(changes, emotion)) for emotion in EMOTIONS)),
        "![Acoustic deltas by emotion and intensity](CARD.png)",
        "",
        "## Fields of a manifest line",
        "",
        "`valence`, `arousal`, `dominance` in [-1, 1] are the emotion's anchor times the intensity plus noise (sd "
        "0.05). `synthesis` holds the parameters that were rendered and, under `measured`, what the file measures. "
        "`targets` holds the reply with (A) and without (B) the thought, written from the emotion and the scenario.",
    ]
    (folder / "CARD.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def _measured(example: Example) -> np.ndarray:
    found = example.synthesis["measured"]
    return np.array(
        [12 * np.log2(found["f0_hz"]), found["level_db"], -np.log2(found["duration_s"]), found["balance_db"]]
    )


def _cells(changes: Mapping[tuple[str, str], np.ndarray], emotion: str) -> list[str]:
    values = np.concatenate([rows for (name, _), rows in changes.items() if name == emotion])
    mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    formats = MEASURES.values()
    return [f"{form.format(m)} ({s:.2g})" for form, m, s in zip(formats, mean, spread, strict=True)]


def _counts(split: tuple[str, Sequence[Example]]) -> tuple[str, ...]:
    name, rows = split
    levels = Counter(row.intensity for row in rows)
    return (
        name,
        str(len(rows)),
        f"{sum(row.duration_s or 0 for row in rows) / 3600:.2f}",
        str(len({row.speaker for row in rows})),
        str(len({row.text_group for row in rows})),
        " / ".join(str(levels[level]) for level in INTENSITIES),
    )


def _figure(changes: Mapping[tuple[str, str], np.ndarray]) -> Figure:
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (column, title) in zip(figure.subplots(1, len(MEASURES)), enumerate(MEASURES), strict=True):
        for offset, (level, shade) in enumerate(zip(INTENSITIES, ("0.75", "0.5", "0.15"), strict=True)):
            values = [changes.get((emotion, level), np.full((1, 4), np.nan))[:, column] for emotion in EMOTIONS]
            at = np.arange(len(EMOTIONS)) + 0.25 * (offset - 1)
            means, spreads = [v.mean() for v in values], [v.std() for v in values]
            axes.errorbar(means, at, xerr=spreads, fmt="o", ms=4, color=shade, label=level)
        axes.axvline(1.0 if column == 2 else 0.0, color="0.8", zorder=0)
        axes.set(title=title, yticks=range(len(EMOTIONS)), yticklabels=EMOTIONS if column == 0 else [])
        axes.invert_yaxis()
    figure.axes[0].legend(title="intensity", fontsize=7, loc="lower right")
    return figure
