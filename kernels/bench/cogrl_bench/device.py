"""The machine in numbers: its name, and the copy bandwidth and matmul rate measured on it right now."""

import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

CPU_BYTES, CUDA_BYTES = 2**27, 2**30
CPU_SIDE, CUDA_SIDE = 1024, 8192


@dataclass(frozen=True)
class Roofline:
    """Bytes read plus written a second, and floating-point operations a second in the dtype of the benchmark."""

    bandwidth: float
    matmul: float

    def least_ms(self, flops: float, size: float) -> float:
        """No implementation is faster than the slower of the two."""
        return 1e3 * max(flops / self.matmul, size / self.bandwidth)

    def __str__(self) -> str:
        return f"copy {self.bandwidth / 1e9:.1f} GB/s, matmul {self.matmul / 1e12:.3g} TFLOP/s"


def name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = [line for line in _cpuinfo() if line.startswith("model name")]
    return model[0].split(":", 1)[1].strip() if model else platform.processor() or platform.machine()


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def measure(device: torch.device, dtype: torch.dtype, repeats: int = 5) -> Roofline:
    """The best of some copies and square products. Random operands: zeros run faster than anything real."""
    on_gpu = device.type == "cuda"
    source = torch.ones(CUDA_BYTES if on_gpu else CPU_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy_s = _best(lambda: target.copy_(source), device, repeats)
    side = CUDA_SIDE if on_gpu else CPU_SIDE
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product_s = _best(lambda: a @ b, device, repeats)
    return Roofline(2 * source.numel() / copy_s, 2 * side**3 / product_s)


def _best(function, device: torch.device, repeats: int) -> float:
    times = []
    for _ in range(repeats + 2):
        synchronize(device)
        start = time.perf_counter()
        function()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[2:])


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
