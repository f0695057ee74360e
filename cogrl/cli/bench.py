"""`cogrl bench`: microbenchmarks of the kernels on this machine, beside what they replace."""

import argparse
from pathlib import Path
from typing import Any

from cogrl.cli.nearest import nearest
from cogrl.cli.out_folder import make_out_folder

_MODES = ("score", "fwd", "bwd", "full")
_DTYPES = ("float32", "bfloat16", "float16", "float64")
_LENGTHS = ("uniform", "long-tailed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Every provider is checked against float64 before it is timed. What the columns mean: kernels/bench/README.md"
    )
    parser.add_argument(
        "operation",
        nargs="*",
        default=["all"],
        help="policy_loss, linear_logprob, linear_policy_loss, grouped, rollout, grpo_step, or all (default)",
    )
    parser.add_argument("--tokens", nargs="+", type=int, metavar="N", help="tokens in all (default: suits the device)")
    parser.add_argument("--heads", nargs="+", metavar="DxV[@CAP]", help="width x vocabulary, @ and a logit cap")
    parser.add_argument(
        "--providers", nargs="+", metavar="NAME", help="only these (default: all; absent ones are named)"
    )
    parser.add_argument(
        "--modes", nargs="+", default=_MODES, metavar="MODE", help=f"of {', '.join(_MODES)} (default: all)"
    )
    parser.add_argument("--device", help="cpu or cuda (default: cuda when there is one)")
    parser.add_argument("--dtype", help=f"{', '.join(_DTYPES)} (default: float32 on a CPU, bfloat16 on a GPU)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    parser.add_argument("--repeats", type=int, help="interleaved rounds (default: 5 on a CPU, 20 on a GPU)")
    parser.add_argument(
        "--rollouts", type=int, default=8, help="completions the tokens belong to (default: %(default)s)"
    )
    parser.add_argument("--lengths", default="uniform", help="of the rollouts: uniform (default) or long-tailed")
    parser.add_argument("--zero-advantages", type=float, default=0.0, metavar="SHARE", help="rollouts without signal")
    parser.add_argument("--frozen-head", action="store_true", help="no gradient for the weight, as under LoRA")
    parser.add_argument("--cold-cache", action="store_true", help="empty the cache before every run")
    parser.add_argument("--no-memory", action="store_true", help="skip peak memory (on a CPU: one process a figure)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for bench.csv, bench.md and one picture an operation")
    parser.add_argument("--mlflow", metavar="STORE", help="log there too, e.g. sqlite:///mlflow.db; needs --out")


def main(options: argparse.Namespace) -> int:
    from cogrl_bench.run import run
    from cogrl_bench.table import markdown, write_csv

    plan = plan_of(options)
    if options.mlflow and not options.out:
        raise ValueError("--mlflow keeps the files of the benchmark: say with --out where to write them")
    if options.out:
        make_out_folder(options.out)  # refused now, not after all the measurements
    report = run(plan)
    text = markdown(report)
    print("\n" + text)
    if options.out:
        (options.out / "bench.md").write_text(text, encoding="utf-8")
        write_csv(report, options.out / "bench.csv")
        draw(report, options.out)
    if options.mlflow:
        track(report, options)
    return 1 if any(result.status.startswith("WRONG") for result in report.results) else 0


def plan_of(options: argparse.Namespace) -> Any:
    """The options, checked. Raises ValueError with the nearest name, or with what the option may be."""
    import torch
    from cogrl_bench.operations import NAMES
    from cogrl_bench.plan import Plan
    from cogrl_bench.run import providers

    operations = NAMES if "all" in options.operation else tuple(dict.fromkeys(options.operation))
    for name in operations:
        choose("operation", name, (*NAMES, "all"))
    for option, names, known in (("mode", options.modes, _MODES), ("lengths", [options.lengths], _LENGTHS)):
        for name in names:
            choose(option, name, known)
    positive = {"tokens": options.tokens, "threads": options.threads, "repeats": options.repeats}
    for option, value in (positive | {"rollouts": options.rollouts}).items():
        for number in value if isinstance(value, list) else [value]:
            if number is not None and number < 1:
                raise ValueError(f"--{option} {number}: must be at least 1")
    if not 0 <= options.zero_advantages <= 1:
        raise ValueError(f"--zero-advantages {options.zero_advantages}: a share of the rollouts, between 0 and 1")
    if options.providers:
        known = {name for operation in operations for name in providers(operation)}
        for name in options.providers:
            choose("provider", name, known)
    device = device_of(options.device)
    dtype = options.dtype or ("bfloat16" if device.type == "cuda" else "float32")
    choose("dtype", dtype, _DTYPES)
    if options.threads:
        torch.set_num_threads(options.threads)
    return Plan(
        operations=operations,
        device=device,
        dtype=getattr(torch, dtype),
        tokens=tuple(options.tokens) if options.tokens else None,
        heads=tuple(head_of(text) for text in options.heads) if options.heads else None,
        providers=tuple(options.providers) if options.providers else None,
        modes=tuple(mode for mode in _MODES if mode in options.modes),
        repeats=options.repeats,
        rollouts=options.rollouts,
        lengths=options.lengths,
        zero_advantages=options.zero_advantages,
        frozen_head=options.frozen_head,
        cold_cache=options.cold_cache,
        memory=not options.no_memory,
        seed=options.seed,
    )


def choose(option: str, name: str, known) -> None:
    if name not in known:
        raise ValueError(f"unknown {option} {name!r}; {nearest(name, known)}")


def device_of(name: str | None) -> Any:
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    choose("device", name, ("cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device; leave --device out to measure the CPU")
    return torch.device(name)


def head_of(text: str) -> Any:
    """`576x49152` or `2304x256000@30`."""
    from cogrl_bench.operation import Head

    size, _, cap = text.partition("@")
    try:
        width, vocab = (int(part) for part in size.split("x"))
        head = Head(width, vocab, float(cap) if cap else None)
    except ValueError:
        raise ValueError(f"--heads {text!r}: write WIDTHxVOCABULARY, or WIDTHxVOCABULARY@CAP, e.g. 576x49152") from None
    if min(width, vocab, head.softcap or 1) <= 0:
        raise ValueError(f"--heads {text!r}: width, vocabulary and cap must be positive")
    return head


def draw(report: Any, folder: Path) -> None:
    from cogrl_bench.plot import write_plots

    try:
        write_plots(report, folder)
    except ImportError as error:
        print(f"no pictures: {error}")


def track(report: Any, options: argparse.Namespace) -> None:
    from cogrl_bench.tracking import log

    from cogrl.callbacks.mlflow_advice import Options, advised, refuse_unusable_file
    from cogrl.callbacks.mlflow_store import absolute_uri, artifacts_beside, prepare

    prepare()
    store = absolute_uri(options.mlflow)
    try:
        refuse_unusable_file(store)
        log(report, options.out, store, artifacts_beside(store))
    except Exception as error:  # tracking failure never undoes a result
        hint = advised(error, store, "cogrl", Options("--mlflow", None))
        print(f"the benchmark is in {options.out} but not in MLflow ({options.mlflow}): {hint}")
