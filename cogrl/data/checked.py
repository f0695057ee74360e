"""What the first process has found of a split, and what each further node finds of its own copy of the files."""

import platform
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cogrl.audio_facts import AudioFacts
from cogrl.data.manifest_file import ManifestFile
from cogrl.ranks import patiently_gathered


class Checked(NamedTuple):
    """The digest of a manifest, which of its lines have earlier turns, the facts of its audio files, and the order of
    its curriculum, if any."""

    digest: str
    dialogues: list[int]
    facts: AudioFacts
    easiest_first: np.ndarray | None = None


def on_every_node(
    paths: Mapping[str, str],
    checked: Mapping[str, Checked],
    node: int,
    look: Callable[[ManifestFile, Checked], AudioFacts] | None,
) -> tuple[dict[str, ManifestFile], dict[str, Checked]]:
    """The manifests, and of each what was `checked` with the facts of the files of this rank's own node.

    `look` finds those facts where this rank is the first of a further node, else it is None. On a disk that nodes share
    it finds what is known, and nothing is sent. Collective: every rank makes this call. Raises ValueError or OSError on
    every rank for what any of them refuses: files that can not be used, and another manifest than was checked.
    """
    files: dict[str, ManifestFile] = {}
    own: dict[str, AudioFacts] = {}
    error: ValueError | OSError | None = None
    try:
        for name, path in paths.items():
            files[name] = ManifestFile(Path(path))
            _refuse_another(files[name], checked[name].digest)
            facts = look(files[name], checked[name]) if look else checked[name].facts
            if not np.array_equal(facts.rows, checked[name].facts.rows):
                own[name] = facts
    except (ValueError, OSError) as refused:
        error = refused
    reports = patiently_gathered((node, own, error))
    _raise_first(refused for _, _, refused in reports)
    here = {name: facts for its_node, found, _ in reports if its_node == node for name, facts in found.items()}
    return files, {name: checked[name]._replace(facts=here.get(name, checked[name].facts)) for name in paths}


def _raise_first(errors: Iterable[ValueError | OSError | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


def _refuse_another(file: ManifestFile, digest: str) -> None:
    if file.digest != digest:
        raise ValueError(
            f"{file.path} on {platform.node()} is not the manifest that the first process has checked; give every node "
            "the same file: ranks would train on other lines than they agreed on"
        )
