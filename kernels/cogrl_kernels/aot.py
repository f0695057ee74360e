"""Ahead-of-time check: every kernel configuration in use, compiled for five GPU targets on a machine without a GPU.

    python -m cogrl_kernels.aot

compiles the `aot_cases()` of every module of Triton kernels, writes registers, spills and shared memory to
`kernels/registers.md` and `.csv`, and fails on a spilled register, a float64 instruction, an atomic, more shared memory
than the target has, or a matrix product without matrix instructions. What is checked is what the compiler makes; that a
kernel is right is checked by tests, that it is fast only by a measurement.
"""

import argparse
import contextlib
import csv
import importlib
import io
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cogrl_kernels.launch import AotCase, interpreted

MODULES = ("row_ops_triton", "linear_logprob_triton", "policy_loss_triton")


@dataclass(frozen=True)
class Target:
    """A GPU architecture: how Triton names it, threads of a warp, KiB of shared memory, its matrix instructions."""

    name: str
    backend: str
    arch: int | str
    warp: int
    shared_kib: int
    matrix: str


TARGETS = (
    Target("sm_80", "cuda", 80, 32, 163, r"\bmma\.sync"),
    Target("sm_90", "cuda", 90, 32, 227, r"\bwgmma\."),
    Target("sm_100", "cuda", 100, 32, 227, r"\btcgen05\.mma"),
    Target("gfx942", "hip", "gfx942", 64, 64, r"\bv_mfma_"),
    Target("gfx950", "hip", "gfx950", 64, 160, r"\bv_mfma_"),
)
FORBIDDEN = {
    "cuda": {"float64": r"\.f64\b", "atomic": r"\b(atom|red)\."},
    "hip": {"float64": r"\b[vs]_\w*f64", "atomic": r"_atomic_|\bds_(add|max|min|cmpst|cmpswap)_"},
}


@dataclass(frozen=True)
class Row:
    """One configuration on one target; `spills` in bytes (gfx: registers + bytes), `problems` empty if all is well."""

    kernel: str
    target: str
    warps: int
    stages: int
    registers: int
    accumulators: int
    spills: int
    shared_bytes: int
    problems: str


def cases() -> list[AotCase]:
    """The configurations in use of all modules of Triton kernels."""
    modules = [importlib.import_module(f"cogrl_kernels.{name}") for name in MODULES]
    return [case for module in modules for case in module.aot_cases()]


def check(case: AotCase, target: Target) -> Row:
    """Compiles one configuration and reads what became of it."""
    names = case.kernel.arg_names
    attrs = {(names.index(name),): [["tt.divisibility", 16]] for name in case.divisible}
    source = ASTSource(case.kernel, case.signature, dict(case.constexprs), attrs)
    options = {"num_warps": case.num_warps, "num_stages": case.num_stages, "enable_fp_fusion": True}
    log = io.StringIO()
    with triton.knobs.compilation.scope(), triton.knobs.nvidia.scope(), contextlib.redirect_stdout(log):
        # a cached binary would come without the assembler's log
        triton.knobs.compilation.always_compile = True
        triton.knobs.nvidia.dump_ptxas_log = True
        compiled = triton.compile(source, GPUTarget(target.backend, target.arch, target.warp), options)
    text = compiled.asm["ptx"] if target.backend == "cuda" else compiled.asm["amdgcn"]
    registers, accumulators, spills = USAGE[target.backend](text, log.getvalue())
    shared = compiled.metadata.shared
    problems = [what for what, pattern in FORBIDDEN[target.backend].items() if re.search(pattern, text)]
    problems += ["spills"] * bool(spills)
    problems += ["shared memory"] * (shared > target.shared_kib * 1024)
    problems += ["no matrix instruction"] * (case.tensor_cores and not re.search(target.matrix, text))
    where = (case.name, target.name, case.num_warps, case.num_stages)
    return Row(*where, registers, accumulators, spills, shared, ", ".join(problems))


def _nvidia_usage(text: str, log: str) -> tuple[int, int, int]:
    numbers = [re.findall(pattern, log) for pattern in (r"(\d+) registers", r"(\d+) bytes spill (?:stores|loads)")]
    if not all(numbers):
        raise RuntimeError(f"the assembler's log does not tell registers and spills: {log!r}")
    return int(numbers[0][0]), 0, sum(map(int, numbers[1]))


def _amd_usage(text: str, log: str) -> tuple[int, int, int]:
    # scalar registers spill to lanes of vector registers, not to memory
    keys = ("vgpr_count", "agpr_count", "vgpr_spill_count", "private_segment_fixed_size")
    vector, accumulators, spilled, scratch = (int(re.search(rf"\.{key}:\s+(\d+)", text)[1]) for key in keys)
    return vector, accumulators, spilled + scratch


USAGE = {"cuda": _nvidia_usage, "hip": _amd_usage}


def write(rows: Iterable[Row], folder: Path) -> None:
    """`registers.csv`, all there is, and `registers.md`, one line per configuration."""
    rows = list(rows)
    names = [field.name for field in fields(Row)]
    with open(folder / "registers.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    targets = list(dict.fromkeys(row.target for row in rows))
    lines = [
        "Registers a thread (`+`: accumulation registers) and shared memory of the configurations in use, compiled by",
        f"Triton {triton.__version__}. Written by `python -m cogrl_kernels.aot`, which fails on a spill, a float64",
        "instruction, an atomic, more shared memory than there is, or a product without matrix instructions.",
        "Compiled, not run: this says nothing about speed.",
        "",
        "| kernel | warps, stages | " + " | ".join(targets) + " |",
        "|---|---|" + "---|" * len(targets),
    ]
    for name in dict.fromkeys(row.kernel for row in rows):
        mine = {row.target: row for row in rows if row.kernel == name}
        first = next(iter(mine.values()))
        cells = [_cell(mine[target]) for target in targets]
        lines.append(f"| {name} | {first.warps}, {first.stages} | " + " | ".join(cells) + " |")
    (folder / "registers.md").write_text("\n".join(lines) + "\n")


def _cell(row: Row) -> str:
    extra = f"+{row.accumulators}" if row.accumulators else ""
    text = f"{row.registers}{extra}, {row.shared_bytes / 1024:.3g} KiB"
    return f"{text}, **{row.problems}**" if row.problems else text


def main(argv: list[str] | None = None) -> int:
    """Compiles, writes, and returns 1 when a configuration has a problem."""
    parser = argparse.ArgumentParser(prog="python -m cogrl_kernels.aot", description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("kernels"), help="folder of registers.md and registers.csv")
    folder = parser.parse_args(argv).out
    if not folder.is_dir():
        parser.error(f"there is no folder {folder}; run this in the repository, or pass --out")
    found = cases()
    if any(interpreted(case.kernel) for case in found):
        parser.error("the interpreter is on; unset TRITON_INTERPRET")
    started, rows = time.monotonic(), []
    for case in found:
        rows += [check(case, target) for target in TARGETS]
        print(f"{case.name:40s} {'; '.join(_cell(row) for row in rows[-len(TARGETS) :])}", flush=True)
    write(rows, folder)
    bad = [row for row in rows if row.problems]
    for row in bad:
        print(f"{row.kernel} on {row.target}: {row.problems}", file=sys.stderr)
    print(f"{len(rows)} compilations, {len(bad)} with problems, {time.monotonic() - started:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
