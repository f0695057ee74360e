"""Fingerprints of files and folders: has an input changed?"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_READ_WHOLE = 64 * 2**20


def digest(definition: Any, inputs: Iterable[Path] = ()) -> str:
    """SHA-256 of a JSON-able definition and of every file in `inputs`, folders walked, names included.

    Files beyond 64 MiB (pretrained weights) count by size and time stamp instead of content.
    """
    found = hashlib.sha256(json.dumps(definition, sort_keys=True).encode())
    for path in sorted(set(inputs)):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found.update(f"\n{file}\n".encode() + fingerprint(file))
    return found.hexdigest()


def fingerprint(file: Path) -> bytes:
    status = file.stat()
    if status.st_size > _READ_WHOLE:
        return f"{status.st_size} {status.st_mtime_ns}".encode()
    return hashlib.sha256(file.read_bytes()).digest()
