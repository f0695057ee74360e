"""The variants of RE-LLM's small pipeline change what they say, and its tables hold figures that are known."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cogrl.cli.pipeline.pipeline import read_pipeline
from cogrl.types import EMOTIONS

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
BASE = Path("configs/pipelines/re_llm_mini.yaml")
OVERLAYS = sorted(file.relative_to(ROOT) for file in HERE.glob("*.yaml"))
Printed = Callable[[Sequence[str]], dict]
pytestmark = pytest.mark.usefixtures("in_the_repository")


def stage(printed: Printed, overlay: Path | None, step: str = "re_llm") -> dict:
    """The settings of a fit in a variant; None: in the full pipeline."""
    pipeline = read_pipeline(BASE, ["seed=2"], [overlay] if overlay else [])
    (found,) = [each for each in pipeline.steps if each.name == step]
    found = printed(found.args)
    return found["model"]["init_args"] | {"steps": found["trainer"]["max_steps"], "lines": found["data"]["train"]}


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda file: file.stem)
def test_a_variant_begins_with_the_text_model_of_its_seed_and_changes_what_its_name_says(overlay, printed):
    full, variant = stage(printed, None), stage(printed, overlay)
    assert variant["policy"]["init_args"]["path"] == "runs/re_llm_mini/seed2/read/export"
    assert variant["lines"] == "runs/re_llm_mini/seed2/responses/train.jsonl"
    expected = {
        "module_only": {"emotion", "dimensions"},
        "auxiliary_only": {"policy"},
        "kl": {"ce", "kd"},
        "shuffled_order": {"dimension_order"},
    }
    assert {key for key in full if full[key] != variant[key]} == expected[overlay.stem]


def test_the_speech_model_lacks_the_module_and_the_auxiliary_losses_and_nothing_else(printed):
    full, speech = stage(printed, None), stage(printed, None, "speech")
    changed = {key for key in full if full[key] != speech[key]}
    assert changed == {"policy", "emotion", "dimensions", "dimension_order"}
    with_module = full["policy"]["init_args"] | {"emotion": None}
    assert with_module == speech["policy"]["init_args"] and full["policy"]["init_args"]["emotion"]
    text = stage(printed, None, "text")
    same = ("steps", "lines", "formats", "optim")
    assert {key: text[key] for key in same} == {key: full[key] for key in same} and text["reads"] == "words"


@pytest.fixture
def runs(module, tmp_path, monkeypatch):
    """Two seeds of the full run and one of a variant; the more a model hears, the higher its levels."""
    monkeypatch.setattr(module, "ROOT", tmp_path)

    def record(policy: str, n: int, right: int) -> dict:
        spoken, other = EMOTIONS[n % 7], EMOTIONS[(n + 1) % 7]
        named = spoken if n % 7 < right else other
        level = 2 * (n % 7 < right)
        found = {"policy": policy, "id": f"c{n}", "cell": f"s{n // 7}/t0", "emotion": spoken, "perceived": named}
        found |= {"replied": {"direct": named}, "tokens": {"direct": 30}}
        return found | {"levels": {"ER": {"direct": level}, "EX": {"direct": 1}}}

    def write(variant: str, seed: int, right: dict[str, int]) -> None:
        folder = module.run_dir(variant, seed) / "report"
        folder.mkdir(parents=True)
        rows = [record(policy, n, hits) for policy, hits in right.items() for n in range(42)]
        (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    for seed in (0, 1):
        write(module.FULL, seed, {"text": 1, "speech": 3, "re_llm": 5})
    write("kl", 1, {"re_llm": 3})


def test_the_tables_hold_levels_and_what_they_gain(module, runs):
    result = module.summary([0, 1])
    assert result["models"]["re_llm"]["ER"]["mean"] == pytest.approx(10 / 7)
    assert result["models"]["text"]["ua"]["mean"] == pytest.approx(1 / 7)
    gain = result["gains"]["re_llm minus speech"]
    assert gain["ER"]["mean"] == pytest.approx(4 / 7) and gain["ER"]["relative"] == pytest.approx(2 / 3)
    assert gain["ER"]["p_signed_rank"] < 0.05 and gain["EX"]["p_signed_rank"] == 1.0
    variant = result["variants"]["kl"]
    assert variant["seeds"] == [1] and variant["minus re_llm"]["ua"]["mean"] == pytest.approx(-2 / 7)
    assert variant["minus speech"]["ER"]["mean"] == 0
    text = module.markdown(result | {"seconds": {"0": {"re_llm": 60.0}, "1": {"re_llm": 30.0}}})
    assert "| re_llm minus speech | 0.571 [0.571, 0.571] *, p = " in text and "| kl minus re_llm | 1 |" in text


def test_the_mean_recall_counts_every_emotion_alike(module, runs):
    """Also where one of them has more clips."""
    answered = module.read(module.FULL, [0])["re_llm"]
    few = module.Answered([[r for n, r in enumerate(answered.records[0]) if r["emotion"] != "anger" or n < 7]])
    assert few.recalled().mean() == pytest.approx(5 / 7)
