"""The files: Liger's columns first and word for word, every provider named, ratios and errors in place."""

import csv
import json

import pytest
import torch
from cogrl_bench import linear_logprob, table
from cogrl_bench.device import Roofline
from cogrl_bench.operation import Head
from cogrl_bench.plan import CPU_HEADS, CUDA_HEADS, Plan
from cogrl_bench.plot import write_plots
from cogrl_bench.run import Report, Result
from cogrl_bench.tracking import metrics

LIGER = (
    "kernel_name,kernel_provider,kernel_operation_mode,metric_name,metric_unit,x_name,x_label,x_value,y_value_50,"
    "y_value_20,y_value_80,extra_benchmark_config_str,gpu_name,timestamp,liger_version"
)


@pytest.fixture
def report(setting):
    plan = Plan(("linear_logprob",), torch.device("cpu"), torch.float32, modes=("score", "full"), repeats=3)
    times = {"score": [1.0, 2.0, 3.0], "full": [10.0, 20.0, 30.0]}
    reference = Result("linear_logprob", "reference", setting(), times=times, errors={"objective": 1e-7})
    reference.ratios, reference.least_ms = {"score": 1.0, "full": 1.0}, {"score": 1.0, "full": 5.0}
    reference.memory_mb = {"full": 256.0}
    absent = Result("linear_logprob", "trl", setting(), status="not installed (No module named 'trl')")
    return Report(plan, Roofline(2e10, 1e11), [reference, absent])


def test_the_csv_begins_with_ligers_columns(report, tmp_path):
    table.write_csv(report, tmp_path / "bench.csv")
    text = (tmp_path / "bench.csv").read_text()
    assert text.splitlines()[0].startswith(LIGER + ",cogrl_version,commit,")
    rows = list(csv.DictReader(text.splitlines()))
    assert [(r["kernel_provider"], r["kernel_operation_mode"], r["metric_name"]) for r in rows] == [
        ("reference", "no-grad-forward", "speed"),
        ("reference", "full", "speed"),
        ("reference", "full", "memory"),
        ("trl", "", ""),
    ]
    full = rows[1]
    assert (full["x_name"], full["x_value"], full["metric_unit"], full["y_value_50"]) == ("T", "60", "ms", "20.0")
    assert float(full["roofline_percent"]) == 25.0 and float(full["max_error"]) == 1e-7
    assert json.loads(full["extra_benchmark_config_str"])["head"] == "24x301"
    assert rows[2]["y_value_20"] == rows[2]["y_value_50"] == "256.0" and rows[2]["metric_unit"] == "MB"
    assert rows[3]["status"] == "not installed (No module named 'trl')"


def test_the_table_names_those_that_were_not_timed(report):
    text = table.markdown(report)
    row = next(line for line in text.splitlines() if line.startswith("| reference"))
    assert row == "| reference | 2 [1.4, 2.6] | 20 [14, 26] | 1.00 (full) | 25 % (full) | 256 (full) | 1e-07 |"
    assert "- trl: not installed (No module named 'trl')" in text
    assert "copy 20.0 GB/s, matmul 0.1 TFLOP/s" in text


def test_pictures_and_metrics_hold_what_was_timed(report, tmp_path):
    (file,) = write_plots(report, tmp_path)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert metrics(report) == {
        "bench/linear_logprob/24x301/60/reference/score_ms": 2.0,
        "bench/linear_logprob/24x301/60/reference/full_ms": 20.0,
        "bench/linear_logprob/24x301/60/reference/full_mb": 256.0,
        "bench/linear_logprob/24x301/60/reference/score_faster": 1.0,
        "bench/linear_logprob/24x301/60/reference/full_faster": 1.0,
    }


def test_sizes_suit_the_device_and_options_win():
    on_cpu = Plan(("linear_logprob",), torch.device("cpu"), torch.float32)
    on_gpu = Plan(("linear_logprob",), torch.device("cuda"), torch.bfloat16)
    assert {s.head for s in on_cpu.settings(True)} == set(CPU_HEADS) and on_cpu.rounds == 5
    assert {s.head for s in on_gpu.settings(True)} == set(CUDA_HEADS) and on_gpu.rounds == 20
    assert all(s.head is None for s in on_gpu.settings(False))
    chosen = Plan(("linear_logprob",), torch.device("cuda"), torch.bfloat16, tokens=(7,), heads=(Head(2, 3, 30.0),))
    (only,) = chosen.settings(True)
    assert (only.tokens, str(only.head), only.rollouts) == (7, "2x3@30", 7)
    assert linear_logprob.operation().uses_head
