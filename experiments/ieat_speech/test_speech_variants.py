"""The variants of the spoken pipeline change what they say, and its tables hold figures that are known."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cogrl.cli.pipeline.pipeline import read_pipeline
from cogrl.stages.sft import checked_shares

HERE = Path(__file__).parent
BASE = Path("configs/pipelines/ieat_mini.yaml")
TRAINED = ("read", "align", "speak")
pytestmark = pytest.mark.usefixtures("in_the_repository")


def stages(printed: Callable[[Sequence[str]], dict], variant: str | None) -> dict[str, dict]:
    """The model settings of the three fits and their lines, without the folders that the policies start from."""
    overlays = [HERE.relative_to(Path.cwd()) / f"{variant}.yaml"] if variant else []
    steps = {step.name: step for step in read_pipeline(BASE, ["seed=2"], overlays).steps}
    fits = {name: printed(steps[name].args) for name in TRAINED if name in steps}
    for fit in fits.values():
        fit["model"]["init_args"]["policy"]["init_args"].pop("path")
    return {name: fit["model"]["init_args"] | {"lines": fit["data"]["train"]} for name, fit in fits.items()}


def test_sequential_trains_the_voice_alone_and_no_thought_the_replies_without_one(printed):
    full, sequential, without = (stages(printed, variant) for variant in (None, "sequential", "no_thought"))
    assert set(sequential) == {"speak"} and set(without) == set(TRAINED)
    assert (full["speak"]["text"], sequential["speak"]["text"]) == (1.0, 0.0)
    assert sequential["speak"] | {"text": 1.0} == full["speak"]
    for name in TRAINED:
        assert checked_shares(full[name]["formats"]) == {"ieat": 1.0}
        assert checked_shares(without[name]["formats"]) == {"direct": 1.0}
        assert without[name] | {"formats": full[name]["formats"]} == full[name]


@pytest.fixture
def runs(module, tmp_path, monkeypatch) -> None:
    """Two seeds of the joint run, one of a variant; six replies are to be sad and two happy."""
    monkeypatch.setattr(module, "ROOT", tmp_path)

    def write(variant: str, seed: int, right: dict[str, int]) -> None:
        """`right` of the sad replies and all of the happy ones sound as intended."""
        folder = module.run_dir(variant, seed) / "report"
        folder.mkdir(parents=True)
        rows = []
        for given, hits in right.items():
            for n in range(8):
                intended = "sad" if n < 6 else "happy"
                sounds = intended if n < hits or n >= 6 else "neutral"
                row = {"policy": "speak", "given": given, "id": f"c{n}", "cell": f"s{n}/t0", "intended": intended}
                rows.append(row | {"sounds": sounds, "worded": intended})
        (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        voice = {"consistency": 0.9, "spoken": 1.0, "seconds": 6.0, "real_time_factor": 0.08}
        (folder / "figures.json").write_text(json.dumps({"speak": {"voice": voice, "peak_memory_mb": 800.0}}))

    write("joint", 0, {"voice": 6, "transcript": 0})
    write("joint", 1, {"voice": 3, "transcript": 0})
    write("sequential", 1, {"voice": 0, "transcript": 0})


def test_the_tables_hold_the_mean_recall_and_its_differences(module, runs):
    result = module.summary([0, 1, 2])
    assert result["seeds"] == [0, 1] and result["replies"] == 8 and result["chance"] == 0.5
    joint = result["policies"]["joint, voice"]["sounds"]
    assert joint["seeds"] == [1.0, 0.75] and joint["mean"] == pytest.approx(0.875)
    control = result["differences"]["joint, voice minus transcript"]["sounds"]
    assert control["mean"] == pytest.approx(0.375) and control["low"] > 0
    sequential = result["differences"]["joint minus sequential"]
    assert sequential["seeds_run"] == [1] and sequential["sounds"]["mean"] == pytest.approx(0.25)
    assert sequential["worded"]["mean"] == 0
    text = module.markdown(result | {"seconds": {"0": {"speak": 60.0}}})
    assert "| joint, voice minus transcript | 0, 1 | 37.5 [" in text and "| sequential, seed 1 | 0.90 |" in text
