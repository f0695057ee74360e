"""The commands of README.md and the other pages: each is understood, and run by a test or with a reason not to be."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from cogrl.cli.main import COMMANDS, STAGE_COMMANDS, main
from cogrl.cli.pipeline.dry_run import ParsedStage, arguments

ROOT = Path(__file__).parents[1]
FOLDERS = [ROOT / name for name in ("docs", "kernels", "experiments")]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in folder.rglob("*.md"))]
RUN_BY = {
    "README.md": "tests/test_docs_commands.py",
    "docs/benchmarks.md": "tests/evaluate/choice/test_benchmarks_page.py",
    "docs/eaqa.md": "tests/test_docs_eaqa.py",
    "docs/paqa.md": "tests/test_docs_paqa.py",
    "docs/questions.md": "tests/test_docs_questions.py",
    "docs/rewards.md": "tests/cli/fit/test_own_reward.py",
    "docs/stages.md": "tests/test_docs_commands.py",
    "docs/walk.md": "tests/test_docs_walk.py",
}
"""Pages from which a test reads the commands that it runs, and that test."""
NOT_RUN = {
    "make demo": "ten minutes; tests/cli/pipeline/test_demo_pipeline.py runs its pipeline, shortened",
    "make test": "the tests themselves; .ci/run calls it",
    "cogrl run configs/pipelines/demo.yaml": "what make demo runs",
    "cogrl run configs/pipelines/audio_qa_mini.yaml": "minutes; tests/cli/pipeline/test_audio_qa_pipeline.py",
    "cogrl run configs/pipelines/hyper_mini.yaml": "minutes; tests/cli/pipeline/test_hyper.py runs it, shortened",
    "cogrl run configs/pipelines/hyper.yaml": "7B weights; tests/cli/pipeline/test_hyper.py dry-runs it on tiny ones",
    "cogrl run configs/pipelines/cogaudio_mini.yaml": "an hour; each step is a command that other tests run",
    "cogrl run configs/pipelines/re_llm_mini.yaml": "minutes; tests/cli/pipeline/test_re_llm.py runs it, shortened",
    "cogrl run configs/pipelines/re_llm.yaml": "7B weights; tests/cli/pipeline/test_re_llm.py dry-runs it on tiny ones",
    "cogrl build responses": "7B weights; tests/cli/build/test_responses.py builds them with tiny ones",
    "cogrl epitome train": "files that are not ours; tests/evaluate/test_epitome.py trains on their layout",
    "cogrl evaluate --policy runs/re_llm/export": "7B weights; tests/cli/pipeline/test_re_llm.py rates tiny ones",
    "cogrl run base.yaml overlay.yaml": "names that stand for any; tests/cli/pipeline/test_overlay.py",
    "cogrl bench": "minutes; tests/cli/test_bench.py runs it at small sizes",
    "cogrl humdial run": "the challenge's recordings; tests/evaluate/test_humdial_spoken.py has a few in its layout",
    "cogrl ui": "a server that does not end; tests/cli/test_commands.py",
    "cogrl doctor": "7B weights; tests/doctor runs it on tiny ones",
    "cogrl run configs/pipelines/ieat_mini.yaml": "an hour; each step is a command that other tests run",
    "cogrl run configs/pipelines/ieat.yaml": "7B weights; tests/cli/pipeline/test_ieat_pipeline.py dry-runs it",
    "cogrl build spoken-replies": "a corpus; tests/cli/build/test_speech_build.py runs it on nine lines",
    "cogrl build speech-codec": "a corpus; tests/cli/build/test_speech_build.py runs it on seven replies",
    "cogrl build speech-units": "a corpus; tests/cli/build/test_speech_build.py runs it on nine lines",
    "cogrl generate clip.wav --policy runs/ieat_mini": "a policy that speaks; tests/cli/test_generate_speak.py",
    "cogrl speak": "a policy that speaks; tests/cli/test_generate_speak.py",
    "cogrl generate clip.wav --policy runs/echo": "a policy that cites; tests/cli/test_generate_relisten.py",
    "cogrl fit --config configs/stage/grpo_qa.yaml --config configs/rollout/vllm.yaml": "needs a server that runs; "
    "tests/stages/test_one_step_off.py",
    "cogrl vllm": "a server that does not end; tests/cli/test_vllm_command.py",
    "python -m venv vllm": "downloads gigabytes",
    "python -m pytest tests/rollout/test_vllm_real.py": "a test of its own, in the environment of the line before",
    "python tests/faults/kill.py": "an hour of killed runs; tests/faults makes single trials",
}
"""Why no test runs the commands that begin like this, of README.md and docs."""
SHORTER = {
    "fit": ("--trainer.max_steps=1", "--data.batch_size=4", "--model.sampling.max_new_tokens=4"),
    "evaluate": ("--max-new-tokens=4", "--limit=14", "--draws=0"),
    "generate": ("--max-new-tokens=4",),
}
"""Further options for the commands that are run here, so that they take seconds."""


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page: str) -> list[str]:
    """The commands in the code blocks of a page, without their comments."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text_of(page), re.S | re.M)
    lines = [line for kind, text in blocks if kind in ("", "bash") for line in text.replace("\\\n", " ").splitlines()]
    found = [shlex.split(line, comments=True) for line in lines if re.match(r"(cogrl|make|python)\s", line)]
    return [shlex.join(words) for words in found]


def words_of(page: str, command: str) -> list[str]:
    """What follows `cogrl`; `...` stands for the words of the page's first command of that name."""
    name, *words = shlex.split(command)[1:]
    if "..." not in words:
        return [name, *words]
    first = next(shlex.split(other) for other in commands(page) if shlex.split(other)[1] == name)
    return [*first[1:], *(word for word in words if word != "...")]


def runs_not(command: str) -> bool:
    return command.startswith(tuple(NOT_RUN))


@pytest.fixture
def reader(workdir, monkeypatch):
    """`reader(page)`: the working directory holds the files that the page says to write."""
    monkeypatch.syspath_prepend(workdir)
    for name in ("configs", "experiments"):
        (workdir / name).symlink_to(ROOT / name)

    def at(page: str) -> None:
        for name, content in re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", text_of(page), re.S):
            (workdir / name).write_text(content)
            monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)

    return at


@pytest.mark.parametrize("page", [page for page in PAGES if any(c.startswith("cogrl") for c in commands(page))])
def test_every_command_of_a_page_is_understood(reader, page):
    reader(page)
    for command in commands(page):
        if not command.startswith("cogrl "):
            continue
        name, *words = words_of(page, command)
        files = [word for word in words if re.fullmatch(r"(configs|experiments)/\S+\.yaml", word)]
        assert [file for file in files if not Path(file).is_file()] == [], command
        if name in STAGE_COMMANDS:
            parsed = ParsedStage(name, [word for word in words if word != "--print_config"])  # which ends the process
            assert parsed.config[name].run_dir, command
        else:
            assert arguments(name, words), command


def test_a_command_with_a_wrong_option_is_not_understood():
    with pytest.raises(ValueError, match="unrecognized arguments: --questions"):
        arguments("generate", ["clip.wav", "--policy", "p", "--questions", "What?"])
    with pytest.raises(ValueError, match="unknown command 'evalute'; did you mean"):
        arguments("evalute", [])


@pytest.mark.parametrize("page", PAGES)
def test_a_command_named_in_the_text_of_a_page_is_one(page):
    assert set(re.findall(r"`cogrl\s+([a-z]+)", text_of(page))) <= {*COMMANDS, *STAGE_COMMANDS}


def test_the_targets_and_scripts_of_the_pages_are_there():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    found = [shlex.split(command) for page in PAGES for command in commands(page)]
    assert {words[1] for words in found if words[0] == "make"} <= set(targets)
    scripts = {words[1] for words in found if words[0] == "python" and words[1].endswith(".py")}
    assert scripts and all((ROOT / script).is_file() for script in scripts)


def test_each_command_is_run_by_a_test_or_has_a_reason_not_to_be():
    found = {page: commands(page) for page in PAGES if page == "README.md" or page.startswith("docs/")}
    assert {page for page in found if not all(map(runs_not, found[page]))} == set(RUN_BY)
    everything = [command for page in found for command in found[page]]
    assert all(any(command.startswith(start) for command in everything) for start in NOT_RUN)
    for page, test in RUN_BY.items():
        assert Path(page).name in (ROOT / test).read_text(), f"{test} does not read {page}"


def run(page: str) -> list[str]:
    """Runs what nothing excuses, shortened; returns the names of the commands that were run."""
    found = [words_of(page, command) for command in commands(page) if not runs_not(command)]
    for name, *words in found:
        assert status([name, *words, *SHORTER.get(name, ())]) == 0, words
    return [name for name, *_ in found]


def status(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as end:  # of --print_config
        return end.code


@pytest.mark.slow
def test_the_three_commands_of_the_readme_train_a_model(reader, smoke_corpus, workdir):
    reader("README.md")
    shutil.copytree(smoke_corpus, "my")
    shutil.move("my/sft.jsonl", "my/train.jsonl")
    assert run("README.md") == ["build", "fit", "fit"]
    assert (workdir / "runs/rl/export/model.safetensors").is_file()


@pytest.mark.slow
def test_the_commands_of_the_stages_run_one_after_the_other(reader, smoke_corpus, tiny_policy_dir, workdir, capsys):
    reader("docs/stages.md")
    shutil.copytree(smoke_corpus, "data/lime-mini")
    for stage in ("sft", "dr_sapo"):
        shutil.copytree(tiny_policy_dir, f"runs/demo/{stage}/export")
    shutil.copy(next(Path("data/lime-mini/audio").rglob("*.flac")), "clip.wav")  # opened by content
    assert run("docs/stages.md") == ["fit", "fit", "fit", "evaluate", "generate"]
    printed = capsys.readouterr().out
    assert "class_path: cogrl.stages.DrSapo" in printed and "full report" in printed and "direct (answering" in printed
