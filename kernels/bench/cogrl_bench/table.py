"""Results as a CSV (the columns of Liger-Kernel's benchmark data, then ours) and as a markdown table."""

import csv
import json
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from cogrl.markdown import markdown_table
from cogrl_bench import device, timing
from cogrl_bench.run import Report, Result

COLUMNS = (
    "kernel_name",
    "kernel_provider",
    "kernel_operation_mode",
    "metric_name",
    "metric_unit",
    "x_name",
    "x_label",
    "x_value",
    "y_value_50",
    "y_value_20",
    "y_value_80",
    "extra_benchmark_config_str",
    "gpu_name",
    "timestamp",
    "liger_version",
    "cogrl_version",
    "commit",
    "torch_version",
    "status",
    "max_error",
    "faster_than_reference",
    "roofline_ms",
    "roofline_percent",
    "copy_gb_s",
    "matmul_tflop_s",
)
"""Up to `liger_version` as github.com/linkedin/Liger-Kernel writes them, so that its visualiser reads the file."""


def write_csv(report: Report, file: Path) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows(report))


def rows(report: Report) -> Iterator[dict]:
    """One row a metric; a provider that was not timed has one row that says why."""
    common = origin(report)
    for result in report.results:
        base = common | described(result, report)
        if not result.timed:
            yield base
        for mode, times in result.times.items():
            found = timing.quantiles(times)
            yield base | {
                "kernel_operation_mode": timing.MODES[mode],
                "metric_name": "speed",
                "metric_unit": "ms",
                "y_value_50": found.p50,
                "y_value_20": found.p20,
                "y_value_80": found.p80,
                "faster_than_reference": result.ratios.get(mode, ""),
                "roofline_ms": result.least_ms.get(mode, ""),
                "roofline_percent": result.roofline_percent(mode) or "",
            }
        for mode, size in result.memory_mb.items():
            yield base | {
                "kernel_operation_mode": timing.MODES[mode],
                "metric_name": "memory",
                "metric_unit": "MB",
                "y_value_50": size,
                "y_value_20": size,
                "y_value_80": size,
            }


def origin(report: Report) -> dict:
    """The same in every row: where and by what the numbers were made."""
    return {
        "gpu_name": device.name(report.plan.device),
        "timestamp": time.strftime("%Y-%m-%d %H:%M:%S"),
        "liger_version": installed("liger-kernel"),
        "cogrl_version": installed("cogrl"),
        "commit": commit(),
        "torch_version": torch.__version__,
        "copy_gb_s": report.roofline.bandwidth / 1e9,
        "matmul_tflop_s": report.roofline.matmul / 1e12,
    }


def described(result: Result, report: Report) -> dict:
    setting = result.setting
    extra = {
        "head": None if setting.head is None else str(setting.head),
        "of": setting.of,
        "dtype": setting.dtype_name,
        "rollouts": setting.rollouts,
        "lengths": setting.lengths,
        "zero_advantages": setting.zero_advantages,
        "frozen_head": setting.frozen_head,
        "cold_cache": report.plan.cold_cache,
        "repeats": rounds_of([result]),
        "threads": torch.get_num_threads(),
    }
    return {
        "kernel_name": result.operation,
        "kernel_provider": result.provider,
        "x_name": "T",
        "x_label": "tokens",
        "x_value": setting.tokens,
        "extra_benchmark_config_str": json.dumps(extra),
        "status": result.status,
        "max_error": max(result.errors.values(), default=""),
    }


def installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def commit() -> str:
    """The commit of this checkout, "+" behind it when files differ; empty outside of a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True)
    except OSError:
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def markdown(report: Report) -> str:
    """One table an operation and size; brackets hold the 20th and 80th percentile."""
    plan, lines = report.plan, []
    lines.append(
        f"{device.name(plan.device)}, {torch.get_num_threads()} CPU thread(s), torch {torch.__version__}, "
        f"commit {commit() or 'unknown'}; measured here: {report.roofline} "
        f"({str(plan.dtype).removeprefix('torch.')}). Medians of interleaved rounds.\n"
    )
    titles = [f"{mode}, ms" for mode in plan.modes]
    header = ["provider", *titles, "faster than reference", "of the roofline", "peak memory, MB", "largest error"]
    for (operation, label), results in grouped(report.results).items():
        lines += [
            f"\n**{operation}**, {label}, {rounds_of(results)} rounds\n",
            markdown_table(header, (cells(result, plan.modes) for result in results if result.timed)),
            *(f"- {result.provider}: {text}" for result in results for text in remarks(result)),
        ]
    return "\n".join(lines).rstrip() + "\n"


def grouped(results: list[Result]) -> dict[tuple[str, str], list[Result]]:
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((result.operation, result.setting.label), []).append(result)
    return found


def rounds_of(results: list[Result]) -> int:
    return max((len(times) for result in results for times in result.times.values()), default=0)


def remarks(result: Result) -> list[str]:
    return ([] if result.timed else [result.status]) + result.notes


def cells(result: Result, modes: tuple[str, ...]) -> list[str]:
    times = []
    for mode in modes:
        found = timing.quantiles(result.times[mode]) if mode in result.times else None
        times.append("" if found is None else f"{found.p50:.3g} [{found.p20:.3g}, {found.p80:.3g}]")
    last = modes[-1]
    of_roofline = result.roofline_percent(last)
    return [
        result.provider,
        *times,
        f"{result.ratios[last]:.2f} ({last})" if last in result.ratios else "",
        "" if of_roofline is None else f"{of_roofline:.0f} % ({last})",
        ", ".join(f"{size:.0f} ({mode})" for mode, size in result.memory_mb.items()),
        f"{max(result.errors.values()):.0e}",
    ]
