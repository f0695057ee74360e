"""`cogrl <command>`: a static table, so that help imports nothing heavy; errors are caught and printed here."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from cogrl.cli.errors import EXPECTED, is_defect, report
from cogrl.cli.nearest import nearest
from cogrl.cli.quiet import silence_imports

STAGE_COMMANDS = {
    "fit": "train a stage described by YAML files",
    "validate": "compute the validation metrics of a policy",
    "test": "grade greedy answers on the test manifest with the training reward",
    "predict": "write greedy answers in each format to run_dir/predictions.jsonl",
    "doctor": "examine a fit before it is started: audio, tokens, rewards, memory, disk; takes the options of fit",
}
COMMANDS = {
    "build": ("cogrl.cli.build.build", "make a corpus or a small model, read a public corpus or benchmark"),
    "run": ("cogrl.cli.pipeline.run", "run a pipeline of steps; finished steps are skipped"),
    "evaluate": ("cogrl.cli.evaluate", "compare policies on a test manifest"),
    "filter": ("cogrl.cli.filter", "keep the questions of a manifest that a policy can learn from"),
    "epitome": ("cogrl.cli.epitome", "train the empathy classifiers that evaluate --epitome reads"),
    "humdial": ("cogrl.cli.humdial", "judge dialogues of the HumDial challenge, and its final score"),
    "generate": ("cogrl.cli.generate", "ask a policy about audio files"),
    "speak": ("cogrl.cli.speak", "speak the replies of policies to a manifest, and say how they sound"),
    "bench": ("cogrl.cli.bench", "measure the kernels on this machine, beside what they replace"),
    "ui": ("cogrl.cli.ui", "browse runs in MLflow's pages"),
    "vllm": ("cogrl.cli.vllm", "serve a policy with vLLM, for the rollouts of RL stages"),
}


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 with a short message for what the user can put right.

    `--debug` anywhere shows the traceback instead. Any other exception is a defect and is not caught.
    """
    args = list(sys.argv[1:] if args is None else args)
    find_own_modules()
    silence_imports()
    try:
        return dispatch([arg for arg in args if arg != "--debug"])
    except (*EXPECTED, KeyboardInterrupt) as error:
        if "--debug" in args or is_defect(error):
            raise
        return report(error)


def find_own_modules() -> None:
    """A Python file in the working directory can be named in YAML; it does not hide an installed module of its name."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def dispatch(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(overview())
        return 0
    command, rest = args[0], args[1:]
    if command in STAGE_COMMANDS:
        module = "cogrl.cli.doctor" if command == "doctor" else "cogrl.cli.fit.train"
        return import_module(module).main(command, rest)
    parsed = parser_of(command).parse_args(rest)
    return import_module(COMMANDS[command][0]).main(parsed) or 0


def parser_of(command: str) -> argparse.ArgumentParser:
    """The options of a command that is no stage. Raises ValueError with the nearest name for an unknown one."""
    if command not in COMMANDS:
        raise ValueError(f"unknown command {command!r}; {nearest(command, [*STAGE_COMMANDS, *COMMANDS])}")
    parser = argparse.ArgumentParser(prog=f"cogrl {command}", description=COMMANDS[command][1])
    import_module(COMMANDS[command][0]).add_arguments(parser)
    return parser


def overview() -> str:
    """The text of `cogrl --help`."""
    lines = {name: text for name, text in STAGE_COMMANDS.items()} | {name: text for name, (_, text) in COMMANDS.items()}
    table = "\n".join(f"  {name:<10}{text}" for name, text in lines.items())
    return (
        "usage: cogrl <command> [options] [--debug]\n\n"
        "Reinforcement-learning post-training for audio language models.\n\n"
        f"commands:\n{table}\n\n"
        "`cogrl <command> --help` shows the options of a command; `cogrl fit --config … --print_config` shows\n"
        "everything a run would use. --debug shows the traceback of an error."
    )


if __name__ == "__main__":
    sys.exit(main())
