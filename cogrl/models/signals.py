"""The precision of signal processing, apart from that of training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def float32_signals(device_type: str = "cpu") -> Iterator[None]:
    """Signal processing in float32 whatever the precision of training: log-mels in half precision differ too much."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_default_dtype(default)
