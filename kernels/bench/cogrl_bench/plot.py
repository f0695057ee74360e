"""One picture an operation: time and peak memory of each provider, one panel a size."""

from pathlib import Path

from cogrl_bench import timing
from cogrl_bench.run import Report, Result
from cogrl_bench.table import grouped

_OURS, _OTHERS = "#2b6cb0", "#a0aec0"


def write_plots(report: Report, folder: Path) -> list[Path]:
    """PNG files named after the operations. Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    written, mode = [], report.plan.modes[-1]
    for operation in report.plan.operations:
        sizes = {
            label: [result for result in results if mode in result.times]
            for (name, label), results in grouped(report.results).items()
            if name == operation
        }
        if any(sizes.values()):
            written.append(draw(operation, sizes, mode, folder / f"{operation}.png"))
    return written


def draw(operation: str, sizes: dict[str, list[Result]], mode: str, file: Path) -> Path:
    """Time on the left with its 20th and 80th percentile and the roofline, memory on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.6 + 2.4 * len(sizes)), layout="constrained")
    panels = figure.subplots(len(sizes), 2, squeeze=False)
    for (label, results), (left, right) in zip(sizes.items(), panels, strict=True):
        names = [result.provider for result in results]
        colours = [_OURS if name.startswith("cogrl") else _OTHERS for name in names]
        found = [timing.quantiles(result.times[mode]) for result in results]
        middle = [q.p50 for q in found]
        around = [[q.p50 - q.p20 for q in found], [q.p80 - q.p50 for q in found]]
        left.barh(names, middle, xerr=around, color=colours)
        left.set(title=f"{operation}, {label}", xlabel=f"{mode}, ms")
        if results and mode in results[0].least_ms:
            left.axvline(results[0].least_ms[mode], linestyle="--", color="black", linewidth=1)
            left.set_xlabel(f"{mode}, ms (dashed: the roofline)")
        right.barh(names, [result.memory_mb.get(mode, 0.0) for result in results], color=colours)
        right.set(title="peak memory beyond the inputs", xlabel="MB")
        left.invert_yaxis()
        right.invert_yaxis()
    figure.savefig(file, dpi=110)
    return file
