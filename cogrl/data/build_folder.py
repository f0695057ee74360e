"""A folder that a recipe builds once: complete or absent, recognised by a hash of its recipe and of its bytes."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cogrl.atomic import move_into_place

_STAMP = "build.json"


def holds(out: Path, recipe: str, names: Sequence[str]) -> bool:
    """Whether `out` is a complete, undamaged build of `recipe`; `names` are the files and folders of a build."""
    try:
        stamp = json.loads((out / _STAMP).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return stamp == {"recipe": recipe, "content": _content(out, names)}


@contextlib.contextmanager
def replacing(out: Path, recipe: str, names: Sequence[str], resume: bool = False) -> Iterator[Path]:
    """Yields an empty folder beside `out` that replaces it when the block ends, and is removed if the block raises.

    With `resume` the folder stays if the block raises, and the next build of the same recipe goes on in it.

    Raises FileExistsError, before any work, if `out` is neither absent, empty, nor an earlier build without other
    files, and OSError if nothing can be written there.
    """
    _refuse_foreign(out, names)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if resume:
            work = out.with_name(f".{out.name}.unfinished-{recipe[:16]}")
            work.mkdir(exist_ok=True)
        else:
            work = Path(tempfile.mkdtemp(prefix=f".{out.name}.building-", dir=out.parent))
    except OSError as error:
        raise OSError(error.errno, f"cannot write {out} ({error.strerror}); choose another output folder") from error
    try:
        yield work
        stamp = {"recipe": recipe, "content": _content(work, names)}
        (work / _STAMP).write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
        work.chmod(0o755)
        _refuse_foreign(out, names)
        move_into_place(work, out)
    except BaseException:
        if not resume:
            shutil.rmtree(work, ignore_errors=True)
        raise


def _refuse_foreign(out: Path, names: Sequence[str]) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise FileExistsError(f"{out} is a file; choose another output folder")
    found = sorted(path.name for path in out.iterdir())
    foreign = [name for name in found if name not in (*names, _STAMP)]
    if found and (foreign or _STAMP not in found):
        raise FileExistsError(
            f"{out} holds other files ({', '.join((foreign or found)[:3])}) that a build would delete; "
            "choose another output folder or move them"
        )


def _content(folder: Path, names: Sequence[str]) -> str:
    """Hash of names and bytes of every file of the build."""
    digest = hashlib.sha256()
    for path in sorted(path for name in names for path in (folder / name, *(folder / name).rglob("*"))):
        if path.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
