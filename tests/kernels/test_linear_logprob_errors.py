"""What `linear_logprob` refuses, and how it names the implementation it runs."""

import logging

import pytest
import torch
from cogrl_kernels import dispatch
from cogrl_kernels.linear_logprob import linear_logprob
from cogrl_kernels.vocab_shard import VocabShard

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
    ({"weight": torch.zeros(11, 4, device="meta")}, "different devices: cpu, meta"),
    ({"shard": VocabShard(start=11, vocabulary=11)}, "shard.start=11 lies outside the vocabulary of 11"),
    ({"shard": VocabShard(start=0, vocabulary=11), "impl": "reference"}, "impl='reference' knows the whole vocabulary"),
    ({"bias": torch.zeros(10)}, "bias has 10 entries for a vocabulary of 11"),
    ({"temperature": 0.0}, "temperature=0.0"),
    ({"temperature": torch.ones(3)}, r"temperature is \(3,\).*one value for each of 2 targets"),
    ({"temperature": torch.ones(2, 1)}, r"temperature is \(2, 1\)"),
    ({"temperature": torch.tensor([1.0, -1.0])}, r"not positive; found \[-1.0\]"),
    ({"temperature": torch.tensor(float("nan"))}, "not positive"),
    ({"temperature": torch.tensor(1.0, requires_grad=True)}, "no gradient"),
    ({"softcap": 0.0}, "softcap=0.0"),
    ({"impl": "fused"}, "unknown impl='fused'; pass one of 'auto', 'triton', 'chunked', 'reference'"),
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


def test_triton_on_a_cpu_is_refused_and_says_what_to_do():
    hidden, weight, targets = torch.randn(3, 4), torch.randn(11, 4), torch.tensor([0, 5, 10])
    with pytest.raises(
        (ValueError, NotImplementedError), match=r"linear_logprob: impl='triton'.*(on cpu|not installed)"
    ):
        linear_logprob(hidden, weight, targets, impl="triton")


def test_triton_is_refused_where_there_is_no_kernel_or_it_would_round():
    with pytest.raises(
        NotImplementedError, match="op has no Triton kernel in this version; pass impl as one of 'auto'"
    ):
        dispatch.choose("op", "triton", {"reference": print}, "reference")
    if dispatch.installed():
        with pytest.raises(ValueError, match="computes in float32"):
            dispatch.choose("op", "triton", {"triton": print}, "triton", like=torch.zeros(1).double())


def test_auto_says_once_what_it_picked(caplog):
    dispatch._announce.cache_clear()
    hidden, weight, targets = torch.randn(3, 4), torch.randn(11, 4), torch.tensor([0, 5, 10])
    with caplog.at_level(logging.INFO, logger="cogrl_kernels"):
        first, second = (linear_logprob(hidden, weight, targets) for _ in range(2))
    assert [record.getMessage() for record in caplog.records] == ["linear_logprob: impl='auto' picks 'chunked'"]
    torch.testing.assert_close(first.logprobs, second.logprobs)
