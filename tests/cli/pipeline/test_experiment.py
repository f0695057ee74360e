"""Options and result files of the scripts under experiments/."""

import json

import pytest

from cogrl.cli.pipeline.experiment import experiment_options, write_results


def test_seeds_and_variants_are_chosen_on_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", "--seeds", "1", "2", "--only", "kl"])
    options = experiment_options("A title\n\nand more", ("kl", "tower"))
    assert (options.seeds, options.only, options.no_run) == ([1, 2], ["kl"], False)
    monkeypatch.setattr("sys.argv", ["run.py", "--no-run"])
    options = experiment_options("A title", ("kl", "tower"))
    assert (options.seeds, tuple(options.only), options.no_run) == ([0, 1, 2], ("kl", "tower"), True)
    monkeypatch.setattr("sys.argv", ["run.py", "--only", "towr"])
    with pytest.raises(SystemExit):
        experiment_options("A title", ("kl", "tower"))
    assert "invalid choice: 'towr'" in capsys.readouterr().err


def test_results_are_written_as_json_and_as_the_table_that_is_printed(tmp_path, capsys):
    write_results(tmp_path, {"mean": 0.5}, "| mean |\n", "seeds")
    assert json.loads((tmp_path / "seeds.json").read_text()) == {"mean": 0.5}
    assert (tmp_path / "seeds.md").read_text() == "| mean |\n" and "| mean |" in capsys.readouterr().out
