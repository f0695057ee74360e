"""docs/benchmarks.md: its commands, word for word, on small folders in the official layouts."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import soundfile
from test_official import LISTS, row

from cogrl.audio import load_audio
from cogrl.cli.main import main

PAGE = (Path(__file__).parents[3] / "docs/benchmarks.md").read_text(encoding="utf-8")
(BLOCK,) = re.findall(r"```bash\n(.*?)```", PAGE, re.S)
COMMANDS = [block.splitlines() for block in BLOCK.split("\n\n")]


@pytest.mark.parametrize("lines", COMMANDS, ids=[shlex.split(lines[0])[2] for lines in COMMANDS])
def test_the_commands_of_the_page_go_from_the_official_files_to_both_scores(
    lines, smoke_corpus, tiny_policy_dir, workdir
):
    (name,) = {shlex.split(line)[2] for line in lines[:1]}
    raw = Path("raw") / name.upper()
    path = raw / ("question" if name == "mmsu" else "") / LISTS[name]
    (raw / "audio").mkdir(parents=True)
    path.parent.mkdir(exist_ok=True)
    spoken = [json.loads(line)["audio"] for line in (smoke_corpus / "sft.jsonl").read_text().splitlines()[:2]]
    for place, clip in enumerate(spoken):  # as published clips are: another rate, two channels
        sound = load_audio(smoke_corpus / clip, 16_000)
        soundfile.write(raw / "audio" / f"{place}.wav", sound[:, None].repeat(2, 1), 22_050)
    rows = [row(name, place) for place in range(2)]
    path.write_text(json.dumps(rows) if path.suffix == ".json" else "".join(json.dumps(r) + "\n" for r in rows))
    shutil.copytree(tiny_policy_dir, "policy")
    assert [main(shlex.split(line)[1:]) for line in lines] == [0, 0]
    report = json.loads(Path("report", name, "report.json").read_text())
    assert {"official_accuracy", "strict_accuracy"} <= set(report["policies"]["mine"])
    assert len(list(Path("report", name).glob("predictions_mine.json*"))) == 1


def test_the_page_names_every_key_and_field_that_the_code_has():
    from cogrl.evaluate.choice.benchmarks import BENCHMARKS

    for benchmark in BENCHMARKS.values():
        names = (*benchmark.keys, *benchmark.groups, *filter(None, [benchmark.thought_key]))
        assert all(f"`{name}`" in PAGE for name in names), benchmark.name
