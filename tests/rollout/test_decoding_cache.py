"""The decoding cache holds what transformers' own one holds."""

import torch
from transformers import DynamicCache

from cogrl.rollout.cache import SPARE_TOKENS, decoding_cache


def states(rows, tokens):
    return torch.randn(rows, 2, tokens, 3)


def fed(cache, chunks):
    for keys, values in chunks:
        out = cache.update(keys, values, 0)
    return out


def test_it_equals_concatenation_past_the_end_of_its_room():
    chunks = [(states(2, 5), states(2, 5))] + [(states(2, 1), states(2, 1)) for _ in range(SPARE_TOKENS * 2 + 3)]
    ours, theirs = decoding_cache(), DynamicCache()
    for ours_now, theirs_now in zip(fed(ours, chunks), fed(theirs, chunks), strict=True):
        assert torch.equal(ours_now, theirs_now)
    assert ours.get_seq_length() == theirs.get_seq_length() == 5 + SPARE_TOKENS * 2 + 3


def test_rows_are_repeated_and_chosen_with_what_was_written_so_far():
    first, second, third = ((states(rows, n), states(rows, n)) for rows, n in ((2, 4), (6, 1), (3, 1)))
    keep = torch.tensor([5, 0, 3])
    results = []
    for cache in (decoding_cache(), DynamicCache()):
        fed(cache, [first])
        cache.batch_repeat_interleave(3)
        fed(cache, [second])
        cache.batch_select_indices(keep)
        results.append(fed(cache, [third]))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])


def test_a_step_writes_into_the_room_it_has():
    cache = decoding_cache()
    fed(cache, [(states(1, 4), states(1, 4))])
    before = cache.layers[0].keys.data_ptr()
    fed(cache, [(states(1, 1), states(1, 1))])
    assert cache.layers[0].keys.data_ptr() == before
