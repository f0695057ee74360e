"""`torch.nn.functional.linear_cross_entropy` in chunks: the mean cross-entropy, gradient made in the forward."""

import torch

from cogrl_bench.operation import Call, Outcome, Problem, Setting


def cross_entropy(setting: Setting) -> Call:
    function = getattr(torch.nn.functional, "linear_cross_entropy", None)
    if function is None:
        raise ImportError(f"torch {torch.__version__} has no F.linear_cross_entropy; it came with torch 2.13")
    if setting.head.softcap is not None:
        raise NotImplementedError("has no softcap")
    options = torch.nn.LinearCrossEntropyOptions()

    def call(problem: Problem) -> Outcome:
        return {"objective": function(problem["hidden"], problem["weight"], problem["targets"], options=options)}

    return call
