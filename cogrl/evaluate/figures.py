"""Figures of a report."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cogrl.evaluate.emotion import Evaluation
from cogrl.evaluate.stats import confusion
from cogrl.types import EMOTIONS


def draw_confusion(evaluations: Sequence[Evaluation], path: Path) -> None:
    """Spoken against perceived emotion, one panel a policy; the last column counts answers without a label."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(evaluations), figsize=(4.4 * len(evaluations), 4.2), squeeze=False)
    labels = [*EMOTIONS, "none"]
    for axis, evaluation in zip(axes[0], evaluations, strict=True):
        matrix = confusion(evaluation.labels, evaluation.formats["eips"].perceived)
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.005:
                axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7)
        axis.set(title=evaluation.name, xlabel="perceived", xticks=range(len(labels)), yticks=range(len(EMOTIONS)))
        axis.set_xticklabels(labels, rotation=60, fontsize=8)
        axis.set_yticklabels(EMOTIONS, fontsize=8)
    axes[0][0].set_ylabel("spoken")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
