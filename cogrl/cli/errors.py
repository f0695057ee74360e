"""How errors are shown: one sentence for what the user can correct, the traceback for a defect."""

import errno
import sys
import traceback

EXPECTED = (ValueError, OSError, ImportError, NotImplementedError, FloatingPointError)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MAKE_ROOM = "; make room there, or choose a folder on another disk"


def report(error: BaseException) -> int:
    """Print an error as `cogrl` does and return the exit status: 2 for a sentence, 1 for a traceback."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt):
        print("cogrl: interrupted", file=sys.stderr)
        return 130
    if is_defect(error):
        traceback.print_exception(error)
        return 1
    print(f"cogrl: error: {for_the_user(error)}", file=sys.stderr)
    return 2


def is_defect(error: BaseException) -> bool:
    """Whether an error has no sentence for the user: neither of ours nor one that names a file."""
    return not isinstance(error, KeyboardInterrupt) and (not isinstance(error, EXPECTED) or for_the_user(error) is None)


def for_the_user(error: BaseException | None) -> str | None:
    """The message our own code raised (or one that names a file), perhaps wrapped by a library; None for a defect."""
    while error is not None:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        origin = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
        if (
            origin.split(".")[0] in ("cogrl", "cogrl_kernels", "cogrl_bench", "__main__")
            or getattr(error, "filename", None) is not None
        ):
            return str(error) + (_MAKE_ROOM if getattr(error, "errno", None) in _FULL else "")
        error = error.__cause__
    return None
