"""YAML with a byte-order mark is read; YAML in another encoding than UTF-8 is named."""

import codecs

import pytest
import yaml

from cogrl.cli.main import main

PIPELINE = {
    "name": "p",
    "run_dir": "runs",
    "steps": [{"name": "one", "command": ["build", "lime-mini", "--out", "data"]}],
}
COMMANDS = {
    "fit": ["fit", "--config", "given.yaml", "--print_config"],
    "run": ["run", "given.yaml", "--dry-run"],
    "overlay": ["run", "base.yaml", "given.yaml", "--dry-run"],
    "reward": ["evaluate", "--policy", "x", "--data", "none.jsonl", "--out", "report", "--reward", "given.yaml"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_yaml_in_another_encoding_is_named_and_no_traceback(command, encoding, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(PIPELINE))
    (tmp_path / "given.yaml").write_bytes("# café\nvars: {}\n".encode(encoding))
    assert main(COMMANDS[command]) == 2
    reason = "is UTF-16 or UTF-32, not UTF-8; convert it: iconv" if encoding == "utf-16" else "not UTF-8: "
    message = capsys.readouterr().err
    assert "given.yaml" in message and reason in message


def test_yaml_with_a_byte_order_mark_says_what_it_says_without(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_bytes(codecs.BOM_UTF8 + yaml.safe_dump(PIPELINE).encode())
    (tmp_path / "over.yaml").write_bytes(codecs.BOM_UTF8 + b"steps: {oen: {}}\n")
    assert main(["run", "base.yaml", "over.yaml", "--dry-run"]) == 2
    assert "over.yaml: unknown key 'steps.oen'" in capsys.readouterr().err
