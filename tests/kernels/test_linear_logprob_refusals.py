"""What `linear_logprob` refuses, and how it names the implementation it runs."""

import logging

import pytest
import torch
from cogrl_kernels import dispatch
from cogrl_kernels.linear_logprob import linear_logprob

REFUSED = [
    ({"targets": torch.tensor([0, 11])}, r"targets has entries outside \[0, 11\).*\[11\]"),
    ({"targets": torch.tensor([0, -100])}, r"targets has entries outside.*-100"),
    ({"targets": torch.tensor([0.0, 1.0])}, "targets is"),
    ({"targets": torch.zeros(2, 1).long()}, "targets is"),
    ({"targets": torch.tensor([0])}, "1 targets for 2 hidden rows; pass one row"),
    ({"rows": torch.tensor([0])}, "2 targets for 1 hidden rows"),
    ({"rows": torch.tensor([0, 2])}, r"rows has entries outside \[0, 2\)"),
    ({"hidden": torch.zeros(1, 2, 4)}, "hidden is"),
    ({"hidden": torch.zeros(2, 4).long()}, "hidden is"),
    ({"weight": torch.zeros(11, 5)}, "hidden has width 4 but weight has width 5"),
    ({"bias": torch.zeros(10)}, "bias has 10 entries for a vocabulary of 11"),
    ({"temperature": 0.0}, "temperature=0.0"),
    ({"temperature": torch.ones(2)}, "no axes"),
    ({"temperature": torch.tensor(1.0, requires_grad=True)}, "no gradient"),
    ({"softcap": 0.0}, "softcap=0.0"),
    ({"impl": "fused"}, "unknown impl='fused'; pass one of 'auto', 'chunked', 'reference'"),
]


@pytest.mark.parametrize("change, message", REFUSED, ids=[m for _, m in REFUSED])
def test_what_does_not_fit_is_refused(change, message):
    arguments = {
        "hidden": torch.zeros(2, 4),
        "weight": torch.zeros(11, 4),
        "targets": torch.tensor([0, 1]),
    } | change
    with pytest.raises(ValueError, match=message):
        linear_logprob(**arguments)


def test_triton_says_that_it_is_not_there_yet():
    hidden, weight, targets = torch.randn(3, 4), torch.randn(11, 4), torch.tensor([0, 5, 10])
    with pytest.raises(NotImplementedError, match="linear_logprob has no Triton kernel in this version"):
        linear_logprob(hidden, weight, targets, impl="triton")


def test_auto_says_once_what_it_picked(caplog):
    dispatch._announce.cache_clear()
    hidden, weight, targets = torch.randn(3, 4), torch.randn(11, 4), torch.tensor([0, 5, 10])
    with caplog.at_level(logging.INFO, logger="cogrl_kernels"):
        first, second = (linear_logprob(hidden, weight, targets) for _ in range(2))
    assert [record.getMessage() for record in caplog.records] == ["linear_logprob: impl='auto' picks 'chunked'"]
    assert torch.equal(first.logprobs, second.logprobs)
