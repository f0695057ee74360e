"""The scripts that make the tables of the mini chain and its ablations, on reports whose figures are known."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from answer_files import record, write_report

from cogrl.evaluate.seeds import Answered

EXPERIMENTS = Path(__file__).parents[1]
CHAIN = {
    "align": {"label": 2, "eips": 2, "direct": 2},
    "sft": {"label": 4, "eips": 4, "direct": 0},
    "distill": {"label": 5, "eips": 4, "direct": 4},
    "dr_sapo": {"label": 5, "eips": 5, "direct": 3},
}


def script(name: str, root: Path, monkeypatch) -> ModuleType:
    """`experiments/<name>/run.py`, with its repository in `root`."""
    spec = importlib.util.spec_from_file_location(f"run_{name}", EXPERIMENTS / name / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    here = root / "experiments" / name
    here.mkdir(parents=True)
    monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setattr(module, "HERE", here)
    return module


def run_main(module: ModuleType, monkeypatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    module.main()


def add_steps(folder: Path, **seconds: float) -> None:
    for name, value in seconds.items():
        (folder / "steps" / name).mkdir(parents=True)
        (folder / "steps" / name / "step.json").write_text(json.dumps({"digest": "", "done": True, "seconds": value}))


@pytest.fixture
def chain(tmp_path, monkeypatch) -> tuple[ModuleType, Path]:
    """Three equal seeds of the chain."""
    for seed in range(3):
        folder = tmp_path / f"runs/cogaudio_mini/seed{seed}"
        write_report(folder / "report", CHAIN)
        add_steps(folder, sft=60.0, dr_sapo=30.0 * (seed + 1))
    return script("cogaudio_mini", tmp_path, monkeypatch), tmp_path


def test_each_claim_has_its_figure_and_whether_it_holds(chain, monkeypatch):
    module, root = chain
    run_main(module, monkeypatch, "--no-run")
    result = json.loads((root / "experiments/cogaudio_mini/seeds.json").read_text())
    by_text = {one["claim"].removesuffix(", %"): one for one in result["claims"]}
    expected = {
        "distill: reply direct by label eips": (4 / 5, False),
        "distill: reply direct by reply eips": (1.0, True),
        "distill: tokens direct by tokens eips": (0.25, True),
        "dr_sapo minus distill: reward eips": (0.5 / 7, True),
        "dr_sapo minus distill: reward direct": (-0.5 / 7, False),
        "dr_sapo minus distill: label eips, points": (0.0, True),
    }
    for text, (mean, holds) in expected.items():
        one = by_text[text]
        assert one["figure"]["mean"] == pytest.approx(mean), text
        assert one["figure"]["seeds"] == pytest.approx([mean] * 3, abs=1e-4)
        assert (one["mean"], one["interval"]) == (holds, holds), text
    chance = [one for text, one in by_text.items() if "text only" in text]
    assert [one["interval"] for one in chance] == [True] * 4
    assert all(one["figure"]["mean"] == pytest.approx(1 / 7) for one in chance)


def test_an_equal_reward_is_not_a_raised_one(chain):
    module, root = chain
    stages = module.read_seeds([root / "runs/cogaudio_mini/seed0/report/answers.jsonl"])
    gains = [one for one in module.claims(stages | {"dr_sapo": stages["distill"]}) if "minus" in one["claim"]]
    assert [(one["mean"], one["interval"]) for one in gains] == [(False, False), (False, False), (True, True)]


def test_what_only_the_mean_says_is_not_said_of_the_whole_interval(chain):
    """Four cells in which every claim is true, and one that spoils it: drawn twice, it turns them all."""

    def answered(policy: str, good: dict[str, int], bad: dict[str, int], bad_tokens: int):
        rows = []
        for n in range(35):
            spoilt = n >= 28
            counts = bad if spoilt else good
            tokens = {"eips": 72, "direct": bad_tokens if spoilt else 18}
            rows.append(record(policy, n, {key: n % 7 < count for key, count in counts.items()}, tokens=tokens))
        return Answered([rows])

    module, _ = chain
    distill = answered("distill", {"label": 5, "eips": 5, "direct": 5}, {"label": 5, "eips": 5, "direct": 3}, 45)
    dr_sapo = answered("dr_sapo", {"label": 6, "eips": 6, "direct": 6}, {"label": 3, "eips": 3, "direct": 1}, 45)
    stages = dict.fromkeys(module.STAGES, distill) | {"dr_sapo": dr_sapo}
    judged = [one for one in module.claims(stages) if "text only" not in one["claim"]]
    assert [(one["mean"], one["interval"]) for one in judged] == [(True, False)] * 6


@pytest.mark.parametrize(
    ("perceived", "holds", "named"),
    [
        (lambda r: r["in_control"]["transcript"]["perceived"], True, "100 %"),
        (lambda r: r["emotion"], False, "100 %"),
        (lambda r: None if r["emotion"] == "anger" else "fear", True, "86 %"),
        (lambda r: "fear" if r["emotion"] == "anger" else None, False, "14 %"),
        (lambda r: None, None, "0 %"),
    ],
    ids=["guesses", "knows", "mostly named", "rarely named", "never named"],
)
def test_text_only_is_at_chance_only_where_chance_lies_in_the_interval(chain, perceived, holds, named):
    module, root = chain
    answered = module.read_seeds([root / "runs/cogaudio_mini/seed0/report/answers.jsonl"])["sft"]
    for line in answered.records[0]:
        line["in_control"]["transcript"]["perceived"] = perceived(line)
    found = module.at_chance("sft", answered)
    assert (found["interval"], found["mean"]) == (holds, None)
    assert f"a label is named in {named}" in found["claim"]


def test_the_page_has_every_stage_with_its_controls_and_says_what_fails(chain, monkeypatch, capsys):
    module, root = chain
    run_main(module, monkeypatch, "--no-run")
    page = (root / "experiments/cogaudio_mini/seeds.md").read_text()
    assert page.count("| text only |") == page.count("| silence |") == page.count("| shuffled audio |") == 4
    assert "| distill | the voice | 71.4 [71.4, 71.4] | 57.1 [57.1, 57.1] |" in page
    claim = (
        "| distill: reply direct by label eips, % | 80.0 [80.0, 80.0] | 80.0, 80.0, 80.0 | at least 90 % | **fails** |"
    )
    assert claim in page
    assert "| seed 2 | 60 | 90 | 2.5 |" in page
    assert page.strip() in capsys.readouterr().out


def test_the_table_may_be_of_some_seeds_only(chain, monkeypatch):
    module, root = chain
    run_main(module, monkeypatch, "--no-run", "--seeds", "0", "2")
    assert json.loads((root / "experiments/cogaudio_mini/seeds.json").read_text())["seeds"] == [0, 2]


def test_a_variant_is_compared_with_the_full_chain_at_its_own_seeds(tmp_path, monkeypatch):
    better = CHAIN | {"dr_sapo": {"label": 7, "eips": 7, "direct": 7}}
    for seed, policies in enumerate((CHAIN, better)):
        write_report(tmp_path / f"runs/cogaudio_mini/seed{seed}/report", policies)
    last = {"dr_sapo": {"label": 4, "eips": 5, "direct": 3}}
    write_report(tmp_path / "runs/ablations/one_format/seed0/report", last)
    module = script("ablations", tmp_path, monkeypatch)
    run_main(module, monkeypatch, "--no-run")
    found = json.loads((tmp_path / "experiments/ablations/results.json").read_text())
    assert list(found) == ["full chain", "one_format"]
    assert (found["full chain"]["seeds"], found["one_format"]["seeds"]) == ([0, 1], [0])
    assert found["full chain"]["figures"]["label"]["mean"] == pytest.approx(6 / 7)
    means = {name: figure["mean"] for name, figure in found["one_format"]["differences"].items()}
    assert means == pytest.approx({"label": -1 / 7} | {name: 0.0 for name in module.COMPARED[1:]})
    page = (tmp_path / "experiments/ablations/results.md").read_text()
    assert "| one_format | 0 | -14.3 [-14.3, -14.3] * | 0.0 [0.0, 0.0] |" in page
    assert "| full chain | 0, 1 | 85.7 " in page
    assert "Not run: grpo_clip, no_align, no_distill, no_emotion_module, tau_10_12, tau_5_6." in page


def test_ablations_without_the_main_run_are_refused(tmp_path, monkeypatch):
    module = script("ablations", tmp_path, monkeypatch)
    with pytest.raises(SystemExit, match=r"main run of seed 1 is missing; first: python experiments/cogaudio_mini"):
        run_main(module, monkeypatch, "--seeds", "1")
