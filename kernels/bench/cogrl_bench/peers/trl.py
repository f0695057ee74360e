"""TRL (github.com/huggingface/trl): log-probability and entropy in vocabulary chunks, logits in the inputs' dtype."""

import inspect

from cogrl_bench.operation import Call, Outcome, Problem, Setting

CHUNK = 8192


def logprob(setting: Setting) -> Call:
    """Raises NotImplementedError when this version of TRL must be given arguments unknown here.

    Unknown ones that TRL has a default for keep it.
    """
    from trl.trainer.utils import _ChunkedLogProbFunction as function

    known = {
        "temperature": 1.0,
        "chunk_size": CHUNK,
        "bias": None,
        "softcap": setting.head.softcap,
        "final_logit_softcapping": setting.head.softcap,
        "logit_scale": 1.0,
        "outputs": ("entropy",),
    }
    tensors = {
        "last_hidden": "hidden",
        "hidden": "hidden",
        "weight": "weight",
        "targets": "targets",
        "labels": "targets",
    }
    arguments = list(inspect.signature(function.forward).parameters.values())[1:]
    known |= {a.name: a.default for a in arguments if a.name not in known and a.default is not a.empty}
    names = [a.name for a in arguments]
    strange = [name for name in names if name not in known and name not in tensors]
    if strange:
        raise NotImplementedError(f"this version of TRL has arguments unknown here: {', '.join(strange)}")
    if setting.head.softcap is not None and not {"softcap", "final_logit_softcapping"} & set(names):
        raise NotImplementedError("this version of TRL has no softcap")

    def call(problem: Problem) -> Outcome:
        found = function.apply(*(problem[tensors[n]] if n in tensors else known[n] for n in names))
        return {"objective": -found[0].mean(), "logprobs": found[0], "entropy": found[1]}

    return call
