"""A checkpoint that is a folder takes the place of another one: at every moment one of them is whole."""

import pytest

from cogrl.callbacks.checkpoint import LastCheckpoint
from cogrl.callbacks.checkpoint_files import LAST, PREVIOUS, UNFINISHED, kept


@pytest.mark.parametrize("keep_previous", [True, False])
def test_a_folder_is_there_until_the_new_one_has_taken_its_place(tmp_path, keep_previous):
    checkpoint = LastCheckpoint(keep_previous=keep_previous)
    checkpoint.folder = tmp_path
    for number in ("1", "2", "3"):
        (tmp_path / UNFINISHED / number).mkdir(parents=True)
        checkpoint.put_in_place()
    names = [LAST, PREVIOUS] if keep_previous else [LAST]
    assert [path.name for path in kept(tmp_path)] == names and (tmp_path / LAST / "3").is_dir()
    with pytest.raises(FileNotFoundError):
        checkpoint.put_in_place()  # ends where a kill between its steps would have ended it
    assert (kept(tmp_path)[0] / "3").is_dir()
