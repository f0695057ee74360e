"""`cogrl <command>`: a static table, so that help imports nothing heavy, and the place where errors meet the user."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

STAGE_COMMANDS = {
    "fit": "train a stage described by YAML files",
    "validate": "compute the validation metrics of a policy",
    "test": "grade greedy answers on the test manifest with the training reward",
    "predict": "write greedy answers on both routes to run_dir/predictions.jsonl",
}
COMMANDS = {
    "build": ("cogrl.cli.build", "make the embedded corpus or the embedded model"),
    "run": ("cogrl.cli.run", "run a pipeline of steps; finished steps are skipped"),
    "evaluate": ("cogrl.evaluate.command", "compare policies on a test manifest"),
    "generate": ("cogrl.cli.generate", "ask a policy about one audio file"),
    "ui": ("cogrl.cli.ui", "browse runs in MLflow's pages"),
}
_EXPECTED = (ValueError, OSError, ImportError, NotImplementedError)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 with a short message for what the user can put right.

    `--debug` anywhere shows the traceback instead. Any other exception is a defect and is not caught.
    """
    args = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in args
    try:
        return dispatch([arg for arg in args if arg != "--debug"])
    except _EXPECTED as error:
        if debug or not meant_for_the_user(error):
            raise
        print(f"cogrl: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("cogrl: interrupted", file=sys.stderr)
        return 130


def dispatch(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(overview())
        return 0
    command, rest = args[0], args[1:]
    if command in STAGE_COMMANDS:
        return import_module("cogrl.cli.train").main(command, rest)
    if command in COMMANDS:
        module = import_module(COMMANDS[command][0])
        parser = argparse.ArgumentParser(prog=f"cogrl {command}", description=COMMANDS[command][1])
        module.add_arguments(parser)
        return module.main(parser.parse_args(rest)) or 0
    known = [*STAGE_COMMANDS, *COMMANDS]
    close = difflib.get_close_matches(command, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"commands: {', '.join(known)}"
    raise ValueError(f"unknown command {command!r}; {hint}")


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


def meant_for_the_user(error: BaseException) -> bool:
    """Whether our own code raised it as a message (or it names a file): then no traceback is wanted."""
    if isinstance(error, OSError) and error.filename is not None:
        return True
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_globals.get("__name__", "").split(".")[0] in ("cogrl", "cogrl_kernels")


if __name__ == "__main__":
    sys.exit(main())
