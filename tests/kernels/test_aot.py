"""The ahead-of-time check: the kernels in use pass it, their table is up to date, planted faults are found."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cogrl_kernels.launch import AotCase, interpreted, require_launchable, signature

triton = pytest.importorskip("triton", reason="Triton is not installed")
tl = pytest.importorskip("triton.language")
aot = pytest.importorskip("cogrl_kernels.aot")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("nothing is compiled in the interpreter", allow_module_level=True)

ROOT = Path(__file__).parents[2]
SM_90 = next(target for target in aot.TARGETS if target.name == "sm_90")


@triton.jit
def copy(x, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i) * 2.0)


@triton.jit
def double_precision(x, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, (tl.load(x + i).to(tl.float64) * 1.1).to(tl.float32))


@triton.jit
def atomic(x, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.atomic_add(out + i % 4, tl.load(x + i))


@triton.jit
def product(x, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    a = tl.load(x + i)
    tl.store(out + i, tl.dot(a, a, input_precision="ieee"))


def planted(kernel, block=256, warps=4, **options):
    types = signature(kernel, x="*fp32", out="*fp32")
    return AotCase(kernel.__name__, kernel, types, {"BLOCK": block}, ("x", "out"), warps, **options)


@pytest.mark.parametrize("target", aot.TARGETS, ids=[target.name for target in aot.TARGETS])
@pytest.mark.parametrize("kernel, problem", [(copy, ""), (double_precision, "float64"), (atomic, "atomic")])
def test_forbidden_instructions_are_found(kernel, problem, target):
    row = aot.check(planted(kernel), target)
    assert row.problems == problem and row.registers > 0 and row.spills == 0


def test_spills_too_much_shared_memory_and_a_product_without_tensor_cores_are_found():
    spilling = aot.check(planted(copy, block=2**15), SM_90)
    assert spilling.problems == "spills" and spilling.spills > 0
    slow = aot.check(planted(product, block=32, tensor_cores=True), replace(SM_90, shared_kib=1))
    assert slow.problems == "shared memory, no matrix instruction" and slow.shared_bytes > 1024


def test_a_signature_names_arguments_of_the_kernel():
    with pytest.raises(TypeError, match="copy has no argument y"):
        signature(copy, y="*fp32")


def test_a_kernel_is_not_launched_on_a_cpu():
    assert not interpreted(copy)
    with pytest.raises(ValueError, match="needs tensors on a GPU, these are on cpu; pass impl='auto'"):
        require_launchable("copy", copy, torch.zeros(1), None)


@pytest.mark.slow
def test_every_configuration_in_use_compiles_cleanly_and_as_the_table_says(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "kernels")}
    done = subprocess.run(
        [sys.executable, "-m", "cogrl_kernels.aot", "--out", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with open(tmp_path / "registers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["target"] for row in rows} == {target.name for target in aot.TARGETS}
    assert len({row["kernel"] for row in rows}) * len(aot.TARGETS) == len(rows)
    assert all(row["spills"] == "0" and not row["problems"] for row in rows)
    committed = ROOT / "kernels" / "registers.md"
    if f"Triton {triton.__version__}." in committed.read_text():
        for name in ("registers.md", "registers.csv"):
            same = (tmp_path / name).read_text() == (committed.parent / name).read_text()
            assert same, f"kernels/{name} is stale; write it again with: python -m cogrl_kernels.aot"
