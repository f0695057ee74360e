"""How long the steps of a pipeline took, read from its run folder, and a table of them."""

import json
from collections.abc import Mapping
from pathlib import Path

from cogrl.markdown import markdown_table


def step_seconds(run_dir: Path) -> dict[str, float]:
    """What each step took when it ran, by name, in the order in which they ended."""
    notes = sorted((run_dir / "steps").glob("*/step.json"), key=lambda note: note.stat().st_mtime)
    return {note.parent.name: json.loads(note.read_text())["seconds"] for note in notes}


def time_table(by_seed: Mapping[str, Mapping[str, float]]) -> str:
    """Seconds by step and seed, and their sum in minutes."""
    steps = list(dict.fromkeys(step for found in by_seed.values() for step in found))
    rows = []
    for seed, found in by_seed.items():
        rows.append(
            [f"seed {seed}", *(f"{found.get(step, 0):.0f}" for step in steps), f"{sum(found.values()) / 60:.1f}"]
        )
    return markdown_table(["seconds", *steps, "all, minutes"], rows)
