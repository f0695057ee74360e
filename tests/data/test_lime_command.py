"""`cogrl build lime` as a user runs it: YAML, speech and transcripts by real programs, a build that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import tone_speaker
import yaml

from cogrl.cli.build.lime import tier
from cogrl.cli.described import described
from cogrl.cli.main import main
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.lime import Recipe

CONFIGS = Path(__file__).parents[2] / "configs" / "recipes"
SHIPPED = sorted(CONFIGS.glob("lime*.yaml"))


def written(folder, **settings):
    """A recipe with the tone program; what it is asked goes to `asked`."""
    argv = [sys.executable, tone_speaker.__file__, "--log", str(folder / "asked")]
    for name in ("text", "emotion", "intensity", "speaker", "seed", "out"):
        argv += [f"--{name}", f"{{{name}}}"]
    voice = {"argv": argv, "speakers": ["ann", "bob", "cat"], "licence": "CC0", "timeout_s": 60, "concurrency": 2}
    synthesiser = {"class_path": "cogrl.data.synthesis.command.CommandSynthesiser", "init_args": voice}
    recipe = {"splits": {"test": {"texts": 1, "speakers": 1}}, "synthesiser": synthesiser} | settings
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump({"recipe": recipe}))
    return file


def asked(folder):
    return [tuple(line.split("\t")) for line in (folder / "asked").read_text().splitlines()]


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_build_that_was_killed_goes_on_and_ends_as_any_other(tmp_path, capsys):
    config = written(tmp_path)
    command = ["build", "lime", "--config", str(config), "--out"]
    doomed = subprocess.Popen([sys.executable, "-m", "cogrl.cli.main", *command, str(tmp_path / "lime")])
    end = time.monotonic() + 60
    while not ((tmp_path / "asked").exists() and len(asked(tmp_path)) >= 10) and time.monotonic() < end:
        time.sleep(0.02)
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    assert not (tmp_path / "lime").exists() and 10 <= len(asked(tmp_path)) < 21
    assert main([*command, str(tmp_path / "lime")]) == 0
    out = capsys.readouterr().out
    assert "LIME: going on, " in out and "21 test clips" in out
    times = Counter(line[:4] for line in asked(tmp_path))
    assert len(times) == 21 and times.total() <= 21 + 2  # two were being said when it was killed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked", "lime", "recipe.yaml"]
    assert main([*command, str(tmp_path / "whole"), "--workers", "1"]) == 0
    assert files(tmp_path / "whole") == files(tmp_path / "lime")


def test_a_clip_whose_transcript_is_another_text_is_refused(tmp_path, capsys):
    listen = "import sys; open('{log}', 'a').write('x'); print('{said}')"
    texts = [{"scenario": "travel", "text": f"They told me about the {thing}."} for thing in ("ferry", "visa")]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, texts)))
    program = listen.format(log=tmp_path / "heard", said="They told me about the VISA")
    settings = {
        "splits": {"sft": {"texts": 1, "speakers": 1}, "test": {"texts": 1, "speakers": 1}},
        "scenarios": ["travel"],
        "writer": {
            "class_path": "cogrl.data.recipes.lime_grammar.ListWriter",
            "init_args": {"file": str(tmp_path / "list.jsonl"), "licence": "CC0"},
        },
        "transcriber": {
            "class_path": "cogrl.data.synthesis.command.CommandTranscriber",
            "init_args": {"argv": [sys.executable, "-c", program, "{audio}"]},
        },
        "gates": {"word_errors": 0.1, "takes": 1},
    }
    command = ["build", "lime", "--config", str(written(tmp_path, **settings)), "--out", str(tmp_path / "lime")]
    assert main(command) == 2
    assert "no reading is left for sft (takes refused: 21 by transcript)" in capsys.readouterr().err
    assert len(asked(tmp_path)) == 42 and (tmp_path / "heard").read_text() == "x" * 42
    settings["gates"]["word_errors"] = 0.5
    written(tmp_path, **settings)
    assert main(command) == 0
    assert len(asked(tmp_path)) == 42 and (tmp_path / "heard").read_text() == "x" * 42  # nothing said or heard twice
    assert [e.text for e in read_manifest(tmp_path / "lime" / "sft.jsonl")] == [texts[0]["text"]] * 21
    assert "was not checked" not in (tmp_path / "lime" / "CARD.md").read_text()


def test_a_program_that_fails_stops_the_build_with_what_to_do(tmp_path, capsys):
    config = written(tmp_path, give_up_after=3)
    config.write_text(config.read_text().replace("- --text", "- --fault\n      - status\n      - --text"))
    assert main(["build", "lime", "--config", str(config), "--out", str(tmp_path / "lime")]) == 2
    message = capsys.readouterr().err
    assert "3 clips in a row came to nothing" in message and "failed with status 3: the model has no voice" in message
    assert "run again: clips that passed are kept" in message


def test_the_embedded_tiers():
    assert tier("mini").digest(True) == Recipe().digest(True) != tier("smoke").digest(True)
    with pytest.raises(ValueError, match="unknown tier 'maxi'; available: mini, smoke"):
        tier("maxi")


def test_what_is_wrong_with_the_options_is_said(tmp_path, capsys):
    config = written(tmp_path)
    for options, message in (
        (["--config", str(config), "--tier", "mini"], "with --config the file names the synthesiser"),
        (["--config", str(tmp_path / "none.yaml")], "start from configs/recipes/lime.yaml"),
    ):
        assert main(["build", "lime", "--out", str(tmp_path / "x"), *options]) == 2
        assert message in capsys.readouterr().err
    config.write_text(config.read_text().replace("licence:", "license:"))
    assert main(["build", "lime", "--out", str(tmp_path / "x"), "--config", str(config)]) == 2
    assert "recipe.yaml" in (message := capsys.readouterr().err) and "license" in message


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_recipes_describe_a_recipe(file):
    recipe = described(file, "recipe", Recipe, str(CONFIGS))
    assert recipe.digest(True) and sum(split.texts for split in recipe.splits.values()) >= 100
    if "service" not in file.stem:  # its voices' names are the user's to fill in
        assert sum(split.speakers for split in recipe.splits.values()) <= len(recipe.synthesiser.speakers)


def test_the_shipped_recipe_states_the_defaults():
    assert described(CONFIGS / "lime.yaml", "recipe", Recipe, str(CONFIGS)).digest(True) == Recipe().digest(True)
    assert {file.stem for file in SHIPPED} == {"lime", "lime_command", "lime_service"}


def test_programs_see_the_folder_they_were_started_in(tmp_path, monkeypatch):
    """Relative paths in a command, such as those of reference voices, are the user's."""
    from cogrl.data.synthesis.command import run

    monkeypatch.chdir(tmp_path)
    assert run([sys.executable, "-c", "import os; print(os.getcwd())"], 20.0).decode().strip() == os.getcwd()
