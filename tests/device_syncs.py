"""Detects host-device synchronisation without a device: on "meta" tensors reading a value is an error."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")


class Watch(TorchDispatchMode):
    """`made`: shape and dtype of every new tensor; `waits`: copies from the CPU to the device that block."""

    def __init__(self):
        super().__init__()
        self.made, self.waits = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor)]
        out = func(*args, **kwargs)
        tensors = [x for x in (out if isinstance(out, tuple | list) else [out]) if isinstance(x, torch.Tensor)]
        self.made += [(tuple(x.shape), x.dtype) for x in tensors if not any(x is y for y in given)]
        name = func.overloadpacket.__name__
        blocks = not (args[2] if name == "copy_" and len(args) > 2 else kwargs.get("non_blocking", False))
        indices = args[1] if name == "index" else ()
        places = {x.device.type for x in (*given, *tensors, *indices) if isinstance(x, torch.Tensor) and x.ndim}
        sent = {"cpu", "meta"} <= places
        if sent and blocks:
            self.waits.append(name)
        return out


def opened(operator):
    """The function behind an operator, which is hidden from a mode. It runs below autograd: nothing requires grad."""
    return lambda *args: operator._init_fn(*(x.detach() if isinstance(x, torch.Tensor) else x for x in args))
