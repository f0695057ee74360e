"""A few of the kill trials of `kill.py`, chosen by the hash seed, which `make test` draws anew and prints."""

import pytest
from kill import run_trial, trials

SEED = hash("kill trials") % 10**6
SOME = trials(4, SEED)


@pytest.mark.slow
@pytest.mark.parametrize("trial", SOME, ids=[f"seed{SEED}-{number}" for number in range(len(SOME))])
def test_a_run_that_is_hit_by_a_signal_ends_soon_leaves_nothing_broken_and_goes_on(
    trial, smoke_corpus, tiny_policy_dir, tmp_path
):
    print(f"seed {SEED}: {trial}")
    print(run_trial(trial, smoke_corpus, tiny_policy_dir, tmp_path))
