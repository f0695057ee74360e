"""The variants of HyPeR's small pipeline change what they say, and its tables hold figures that are known."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cogrl.cli.pipeline.pipeline import read_pipeline

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
BASE = Path("configs/pipelines/hyper_mini.yaml")
OVERLAYS = sorted(file.relative_to(ROOT) for file in HERE.glob("*.yaml"))
Printed = Callable[[Sequence[str]], dict]
pytestmark = pytest.mark.usefixtures("in_the_repository")


def stage(printed: Printed, overlay: Path | None) -> dict:
    """The settings of GRPO in a variant; None: in the full pipeline."""
    pipeline = read_pipeline(BASE, ["seed=2"], [overlay] if overlay else [])
    (grpo,) = [step for step in pipeline.steps if step.name == "grpo"]
    return printed(list(grpo.args))["model"]["init_args"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda file: file.stem)
def test_a_variant_begins_with_the_main_run_of_its_seed_and_changes_what_its_name_says(overlay, printed):
    full, variant = stage(printed, None), stage(printed, overlay)
    start = variant["policy"]["init_args"]["path"]
    own_sft = overlay.stem in ("no_reflections", "pause")
    assert start == f"runs/hyper_mini{f'_ablations/{overlay.stem}' if own_sft else ''}/seed2/sft/export"
    changed = {key for key in full if full[key] != variant[key]} - {"policy"}
    expected = {
        "accuracy_only": {"reward"},
        "self_consistency": {"reward"},
        "section_credit": {"section_credit"},
        "audio_only": {"optim"},
        "longer": {"optim"},
        "no_kl": {"objective", "reference"},
        "pause": {"controllers", "confidence_weights", "reference"},
        "no_reflections": {"reference"},
    }
    assert changed == expected[overlay.stem]
    weights = {
        name: setting["init_args"]["weights"]
        for name, setting in (("full", full["reward"]), ("own", variant["reward"]))
    }
    paid = {name: round(sum(mine.values()), 6) for name, mine in weights.items()}
    assert paid == {"full": 2.3, "own": 1.2 if overlay.stem == "accuracy_only" else 2.3}


def record(number: int, right: bool, share: float, **more) -> dict:
    counts = {"supported": 1, "contradicted": 1, "unverifiable": 0, "expected": 2, "right": share}
    claims = dict.fromkeys(("environment", "speaker", "asr", "description"), counts)
    perception = {"snr_db": float(5 * number), "claims": claims, "implied": "a" if right else "b", "well_formed": True}
    found = {"id": f"q{number}", "cell": f"c{number}", "task": "environment", "answer": "a", "right": float(right)}
    found |= {"chosen_in_control": {"silence": "a"}, "perception": perception}
    return found | more


@pytest.fixture
def runs(module, tmp_path, monkeypatch):
    """Two seeds of the full run and one of a variant: GRPO has more right claims, and pauses."""
    monkeypatch.setattr(module, "ROOT", tmp_path)

    def write(folder: Path, policies: dict[str, float], format: str) -> None:
        folder.mkdir(parents=True)
        rows = [
            record(i, share > 0.5, share, policy=policy, format=format)
            for policy, share in policies.items()
            for i in range(4)
        ]
        (folder / "answers_choice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        figures = {f"paqa_rollout_{name}": {"mean": 0.5} for name in module.PAUSES}
        (folder / "report.json").write_text(json.dumps({"policies": dict.fromkeys(policies, figures)}))

    for seed in (0, 1):
        main_run = module.run_dir(module.FULL, seed)
        write(main_run / "report", {"sft": 0.5, "grpo": 0.75}, "paqa")
        write(main_run / "report_direct", {"base": 0.25, "sft_direct": 0.5, "grpo_direct": 0.5}, "choice")
        for more in (*module.TESTS[1:], module.ALONE):
            write(main_run / more, {"sft": 0.5, "grpo": 0.75}, "paqa")
    write(module.run_dir("accuracy_only", 1) / "report", {"grpo": 0.25}, "paqa")
    write(module.run_dir("pause", 0) / "report", {"grpo": 0.75, "pausing": 0.75, "filler": 0.5}, "paqa")


def test_the_tables_hold_right_claims_and_what_they_gain(module, runs):
    result = module.summary([0, 1])
    assert result["policies"]["grpo paqa"]["right_claims"]["mean"] == 0.75
    assert result["policies"]["grpo paqa"]["environment"]["mean"] == 0.75  # of claims, and not of the task's answers
    assert result["policies"]["grpo paqa"]["task environment"]["mean"] == 1.0
    assert result["policies"]["grpo paqa"]["contradicted"]["mean"] == 4.0
    assert result["policies"]["grpo paqa"]["task environment, speech alone"]["mean"] == 1.0
    assert result["policies"]["sft paqa"]["0-5 dB"]["seeds"] == [0.0, 0.0]
    assert result["differences"]["grpo minus sft"]["right_claims"]["mean"] == 0.25
    assert result["pauses"]["filler"]["minus none"]["accuracy"]["mean"] == -1.0
    variant = result["variants"]["accuracy_only"]
    assert variant["seeds"] == [1] and variant["full minus variant"]["right_claims"]["mean"] == 0.5
    assert variant["variant minus sft"]["right_claims"]["mean"] == -0.25
    text = module.markdown(result | {"seconds": {"0": {"grpo": 60.0}, "1": {"grpo": 30.0}}})
    assert "| hyper minus accuracy_only | 1 |" in text and "| pausing | 0.50 |" in text


def test_seeds_about_other_questions_are_refused(module, runs):
    file = module.run_dir(module.FULL, 1) / "report" / "answers_choice.jsonl"
    file.write_text(file.read_text().replace('"q0"', '"other"'))
    with pytest.raises(ValueError, match="are not about the same questions"):
        module.summary([0, 1])
