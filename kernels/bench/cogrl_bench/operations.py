"""The operations there are: a static table, so that naming them imports nothing."""

from importlib import import_module

from cogrl_bench.operation import Operation

OPERATIONS = {
    "policy_loss": "cogrl_bench.policy_loss",
    "linear_logprob": "cogrl_bench.linear_logprob",
    "linear_policy_loss": "cogrl_bench.linear_policy_loss",
}
GROUPED, ROLLOUT, GRPO_STEP = "grouped", "rollout", "grpo_step"
OF_MODELS = {
    GROUPED: "cogrl_bench.grouped_results",
    ROLLOUT: "cogrl_bench.rollout_results",
    GRPO_STEP: "cogrl_bench.rollout_results",
}
"""Passes of a whole model, measured by rounds of their own: modules with `jobs(name, plan)` and `providers(name)`."""
NAMES = (*OPERATIONS, *OF_MODELS)


def load(name: str) -> Operation:
    return import_module(OPERATIONS[name]).operation()
