"""Cut Cross-Entropy (arXiv:2411.09009, github.com/apple/ml-cross-entropy): a loss per token, no logits in memory."""

from cogrl_bench.operation import Call, Outcome, Problem, Setting, needs_gpu


def cross_entropy(setting: Setting) -> Call:
    from cut_cross_entropy import linear_cross_entropy

    needs_gpu(setting)

    def call(problem: Problem) -> Outcome:
        nll = linear_cross_entropy(
            problem["hidden"],
            problem["weight"],
            problem["targets"],
            softcap=setting.head.softcap,
            reduction="none",
        )
        return {"objective": nll.mean(), "logprobs": -nll}

    return call
