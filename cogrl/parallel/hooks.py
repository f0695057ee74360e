"""The hooks by which a strategy gathers and frees weights around each module, set aside for a while."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_state_dict_pre_hooks")


@contextmanager
def hooks_aside(module: nn.Module) -> Iterator[None]:
    """Inside, calls of `module` and its parts, and their state dicts, run no hook: ranks need not keep in step.

    They are set aside and not removed: DeepSpeed numbers its modules anew when hooks are registered a second time.
    """
    kept = [(part, name, getattr(part, name)) for part in module.modules() for name in _HOOKS]
    for part, name, _ in kept:
        setattr(part, name, OrderedDict())
    try:
        yield
    finally:
        for part, name, hooks in kept:
            setattr(part, name, hooks)
