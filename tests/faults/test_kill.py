"""Two of the kill trials of `kill.py`, always the same; the script draws as many random ones as one likes."""

import signal

import pytest
from kill import Trial, run_trial

TWO = {
    "two processes and their workers, SIGTERM": Trial("sft", 2, 2, signal.SIGTERM, True, False, 1.0),
    "a pipeline, SIGKILL": Trial("run", 1, 0, signal.SIGKILL, False, False, 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("trial", TWO.values(), ids=TWO)
def test_a_run_that_is_hit_by_a_signal_ends_soon_leaves_nothing_broken_and_goes_on(
    trial, smoke_corpus, tiny_policy_dir, tmp_path
):
    print(run_trial(trial, smoke_corpus, tiny_policy_dir, tmp_path))
