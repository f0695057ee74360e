"""quack (github.com/Dao-AILab/quack): chunked linear cross-entropy for Hopper and Blackwell GPUs."""

from cogrl_bench.operation import Call, Outcome, Problem, Setting, needs_gpu

CHUNK = 4096


def cross_entropy(setting: Setting) -> Call:
    """The mean; gradient made in the forward."""
    from quack.linear_cross_entropy import chunked_linear_cross_entropy

    needs_gpu(setting)
    if setting.head.softcap is not None:
        raise NotImplementedError("has no softcap")

    def call(problem: Problem) -> Outcome:
        loss = chunked_linear_cross_entropy(
            problem["hidden"], problem["weight"], problem["targets"], chunk_size=CHUNK, reduction="mean"
        )
        return {"objective": loss}

    return call
