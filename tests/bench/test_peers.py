"""Other libraries: arguments by name, whatever version is installed, and refusals where they can not do the problem."""

import sys
import types

import pytest
import torch
from cogrl_bench import check, linear_logprob
from cogrl_bench.operation import Head
from cogrl_bench.peers import torch_native, trl


def library(forward):
    """Stands in for TRL, which is not installed here, with the signature of one of its versions."""

    class Function:
        @staticmethod
        def apply(*args):
            return forward(None, *args)

    Function.forward = staticmethod(forward)
    return types.SimpleNamespace(_ChunkedLogProbFunction=Function)


def first(ctx, last_hidden, weight, targets, temperature, chunk_size):
    return linear_logprob.all_logits(last_hidden / temperature, weight, targets, None)


def later(ctx, hidden, weight, bias, labels, temperature, chunk_size, softcap, logit_scale):
    assert bias is None and logit_scale == 1.0
    return linear_logprob.all_logits(hidden / temperature, weight, labels, softcap)


def latest(
    ctx, hidden, weight, bias, targets, temperature, chunk_size, final_logit_softcapping=None, logit_scale=1.0,
    outputs=("entropy", "is_top1"), surprise="harmless",
):  # fmt: skip
    assert outputs == ("entropy",) and surprise == "harmless"
    found = linear_logprob.all_logits(hidden / temperature, weight, targets, final_logit_softcapping)
    return *found, None, None, None


def unknown(ctx, hidden, weight, targets, temperature, chunk_size, surprise):
    raise AssertionError("not to be called")


@pytest.fixture
def with_trl(monkeypatch):
    def install(forward):
        for name in ("trl", "trl.trainer"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, "trl.trainer.utils", library(forward))

    return install


@pytest.mark.parametrize("forward", [first, later, latest])
def test_trl_is_called_with_the_arguments_its_version_has(with_trl, setting, forward):
    with_trl(forward)
    problem = linear_logprob.problem(setting())
    found = check.errors(trl.logprob(problem.setting), problem, linear_logprob.true(problem))
    assert check.wrong(found, check.bound(problem, exact=True)) is None


def test_trl_with_arguments_nobody_knows_here_is_refused(with_trl, setting):
    with_trl(unknown)
    with pytest.raises(NotImplementedError, match="surprise"):
        trl.logprob(setting())
    with_trl(first)
    with pytest.raises(NotImplementedError, match="no softcap"):
        trl.logprob(setting(head=Head(24, 301, 30.0)))


@pytest.mark.parametrize("softcap", [None, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_trl_itself_agrees_with_float64(setting, softcap, dtype):
    pytest.importorskip("trl", reason="TRL is not a dependency; pip install trl to compare with it")
    problem = linear_logprob.problem(setting(head=Head(24, 301, softcap), dtype=dtype))
    provider = linear_logprob.operation().providers["trl"]
    found = check.errors(provider.open(problem.setting), problem, linear_logprob.true(problem))
    assert {"objective", "logprobs", "entropy", "grad hidden", "grad weight"} <= set(found)
    assert check.wrong(found, check.bound(problem, exact=dtype == torch.float32)) is None


@pytest.mark.skipif(not hasattr(torch.nn.functional, "linear_cross_entropy"), reason="came with torch 2.13")
def test_torchs_own_linear_cross_entropy_is_right_and_has_no_softcap(setting):
    problem = linear_logprob.problem(setting())
    found = check.errors(torch_native.cross_entropy(problem.setting), problem, linear_logprob.true(problem))
    assert {"objective", "grad hidden", "grad weight"} == set(found)
    assert check.wrong(found, check.bound(problem, exact=False)) is None
    with pytest.raises(NotImplementedError, match="softcap"):
        torch_native.cross_entropy(setting(head=Head(24, 301, 30.0)))


def test_what_needs_a_gpu_says_so_on_a_cpu(setting):
    with pytest.raises(NotImplementedError, match="needs a GPU"):
        linear_logprob.operation().providers["cogrl_triton"].open(setting())
