"""The rewards about perception, as their files and the page about them write them, through the real command line."""

import re
from pathlib import Path

import pytest

from cogrl.cli.pipeline.dry_run import ParsedStage

ROOT = Path(__file__).parents[3]
PARTS = ("stage/grpo_qa", "policy/tiny", "data/questions", "trainer/cpu")
PAGE = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", (ROOT / "docs" / "perception.md").read_text("utf-8"), re.S))


def parsed(overlay):
    files = [*(ROOT / "configs" / f"{part}.yaml" for part in PARTS), overlay]
    words = [word for file in files for word in ("--config", str(file))]
    return ParsedStage("fit", [*words, "--model.init_args.formats=[paqa]"]).config["fit"].model.init_args


@pytest.mark.parametrize("name", ["perception", "hyper_paper"])
def test_a_file_of_rewards_is_understood(name):
    terms = parsed(ROOT / "configs" / "reward" / f"{name}.yaml").reward.init_args.terms
    assert {"accuracy", "format", "length"} < set(terms)


def test_the_page_has_files_to_copy():
    assert list(PAGE) == ["evidence.yaml", "counterfactual.yaml"]


@pytest.mark.parametrize("name", PAGE)
def test_a_file_of_the_page_is_understood(tmp_path, name):
    overlay = tmp_path / name
    overlay.write_text(PAGE[name])
    settings = parsed(overlay)
    assert len(settings.reward.init_args.terms) == 2
    assert bool(settings.counterfactuals) == (name == "counterfactual.yaml")
