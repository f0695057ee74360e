"""The folder through which a server gets its weights."""

import multiprocessing
import os
import signal

from cogrl.rollout.vllm.weights import WeightFolder, remove_abandoned


def test_versions_are_whole_counted_and_only_the_newest_is_kept(policy, tmp_path):
    folder, other = WeightFolder(str(tmp_path)), WeightFolder(str(tmp_path))
    first, theirs, second = folder.write(policy), other.write(policy), folder.write(policy)
    assert {path.name for path in tmp_path.iterdir()} == {theirs.version, second.version}
    assert first.version != second.version and first.tensors == second.tensors == len(policy.model.state_dict())
    assert second.folder == str(tmp_path / second.version)


def test_a_folder_in_memory_ends_with_its_object(policy):
    folder = WeightFolder()
    root = folder.root
    folder.write(policy)
    remove_abandoned(root.parent)
    assert root.is_dir()  # it is in use
    del folder
    assert not root.exists()


def hold(sender) -> None:
    folder = WeightFolder()
    sender.send(str(folder.root))
    sender.recv()


def test_what_a_killed_process_left_is_removed_by_the_next():
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(there,), daemon=True)
    process.start()
    left = here.recv()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert os.path.isdir(left)
    WeightFolder()
    assert not os.path.exists(left)
