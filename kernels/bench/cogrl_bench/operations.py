"""The operations there are: a static table, so that naming them imports nothing."""

from importlib import import_module

from cogrl_bench.operation import Operation

OPERATIONS = {
    "policy_loss": "cogrl_bench.policy_loss",
    "linear_logprob": "cogrl_bench.linear_logprob",
    "linear_policy_loss": "cogrl_bench.linear_policy_loss",
}
GROUPED = "grouped"
"""A training pass of a whole model, `cogrl_bench.grouped`: measured by its own rounds."""
NAMES = (*OPERATIONS, GROUPED)


def load(name: str) -> Operation:
    return import_module(OPERATIONS[name]).operation()
