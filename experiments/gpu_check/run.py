"""Everything worth knowing about the kernels on a GPU, in one go of under nine minutes: python experiments/gpu_check/run.py

Parts, each in a process of its own with its own time limit; one that fails leaves the others alone:
tests      the GPU tests of the kernels, then the other kernel tests under this machine's versions
bench      `cogrl bench`: every provider at the head of a 7B model, then ours at more sizes
rl_step    a random model of Qwen2-Audio-7B's sizes: DR-SAPO with shared prompts and fused heads on and off, GRPO with a
           reference, and tokens a second of the engines, re-listening among them

Writes a handful of small files to --out: report.md, tests.txt, bench.md, bench.csv, rl_step.json. Exit status 0: all
parts passed. --dry-run takes the same way on a CPU with tiny sizes. Needs torch, triton, transformers, pytorch-lightning,
peft, jaxtyping, scipy, tqdm and pytest; what is missing is said in the report. Run it from a checkout, nothing is installed.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
PATH = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "kernels" / "bench")]
DISTRIBUTIONS = ("torch", "triton", "transformers", "pytorch-lightning", "peft", "jaxtyping", "scipy", "tqdm", "pytest")
DISTRIBUTIONS += ("flash-attn", "vllm")
PYTEST = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "--cases", "all"]
PYTEST += ["-o", "addopts=--strict-markers"]  # without the shape checks, which need beartype
COGRL = [sys.executable, "-m", "cogrl.cli.main"]


@dataclass(frozen=True)
class Command:
    """One step of a part: what to run, for how long at most (seconds), and which packages it can not do without."""

    part: str
    words: list[str]
    limit_s: int
    needs: tuple[str, ...] = ()


@dataclass
class Outcome:
    command: Command
    status: str
    seconds: float = 0.0
    output: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"


def commands(work: Path, dry_run: bool) -> list[Command]:
    """All steps; limits sum up to less than nine minutes, but for a dry run, which any slow or busy machine may make."""
    device = ["--device", "cpu"] if dry_run else ["--device", "cuda"]
    bench = [*COGRL, "bench", *device]
    heads = ["linear_logprob", "linear_policy_loss"]
    few = ["--providers", "reference", "cogrl_chunked", "cogrl_triton"]
    every = ["--heads", "16x256", "--tokens", "64"] if dry_run else ["--heads", "3584x152064", "--tokens", "8192"]
    more = ["--heads", "8x63"] if dry_run else ["--heads", "896x151936", "2048x151936", "2304x256000@30"]
    more += ["--tokens", "32"] if dry_run else ["--tokens", "2048", "32768"]
    loss = ["--tokens", "64"] if dry_run else ["--tokens", "65536", "1048576"]
    repeats = ["--repeats", "1" if dry_run else "10"] + (["--no-memory"] if dry_run else [])
    rest = ["tests/kernels/test_import.py"] if dry_run else ["tests/kernels", "--ignore=tests/kernels/test_aot.py"]
    step = [sys.executable, str(HERE / "run.py"), "--rl-step", str(work / "rl_step.json")]
    step += ["--dry-run"] if dry_run else []
    steps = [
        Command("tests", [*PYTEST, "-m", "gpu", "tests/kernels/test_gpu.py"], 100, ("pytest",)),
        Command("bench", [*bench, "policy_loss", *loss, *repeats, "--out", str(work / "bench-1")], 60),
        Command("bench", [*bench, *heads, *every, *repeats, "--out", str(work / "bench-2")], 80),
        Command("rl_step", step, 170, ("transformers", "pytorch-lightning", "peft", "jaxtyping", "scipy")),
        Command("bench", [*bench, *heads, *more, *few, *repeats, "--out", str(work / "bench-3")], 60),
        Command("tests", [*PYTEST, "-m", "not gpu", *rest], 60, ("pytest",)),
    ]
    return [replace(step, limit_s=600) for step in steps] if dry_run else steps


def run(command: Command) -> Outcome:
    missing = [name for name in command.needs if not version(name)]
    if missing:
        return Outcome(command, f"not run: needs {', '.join(missing)}")
    start = time.monotonic()
    path = [*PATH, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command.words, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(command.limit_s)
            status = "passed" if code == 0 else f"failed with status {code}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = f"stopped after its limit of {command.limit_s} s"
        output.seek(0)
        return Outcome(command, status, time.monotonic() - start, output.read())


def version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def collect(work: Path, out: Path, outcomes: list[Outcome]) -> None:
    """The parts' files, joined where there are several, each cut to what is worth keeping."""
    out.mkdir(parents=True, exist_ok=True)
    tests = [f"$ {' '.join(o.command.words[2:])}\n{o.output[-60_000:]}" for o in outcomes if o.command.part == "tests"]
    (out / "tests.txt").write_text("\n".join(tests))
    folders = sorted(path for path in work.glob("bench-*") if (path / "bench.csv").is_file())
    tables = [(path / "bench.csv").read_text().splitlines(keepends=True) for path in folders]
    if tables:
        (out / "bench.csv").write_text("".join(tables[0] + [line for table in tables[1:] for line in table[1:]]))
        (out / "bench.md").write_text("\n".join((path / "bench.md").read_text() for path in folders))
    if (work / "rl_step.json").is_file():
        (out / "rl_step.json").write_text((work / "rl_step.json").read_text())
    (out / "report.md").write_text(report(outcomes, out))


def report(outcomes: list[Outcome], out: Path) -> str:
    lines = [
        "# GPU check",
        "",
        f"- {time.strftime('%Y-%m-%d %H:%M')}, commit {commit()}, Python {sys.version.split()[0]}",
    ]
    lines.append("- " + ", ".join(f"{name} {version(name) or 'MISSING'}" for name in DISTRIBUTIONS))
    lines += ["", "| part | command | result | seconds |", "|---|---|---|---|"]
    for o in outcomes:
        words = " ".join(Path(word).name if word.startswith("/") else word for word in o.command.words[1:])
        lines.append(f"| {o.command.part} | `{words[:160]}` | {o.status} | {o.seconds:.0f} |")
    for o in outcomes:
        if not o.passed:
            lines += ["", f"{o.command.part}, {o.status}:", "```", *o.output.strip().splitlines()[-15:], "```"]
    if (out / "rl_step.json").is_file():
        lines += ["", rl_table(json.loads((out / "rl_step.json").read_text()))]
    return "\n".join(lines) + "\n"


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def rl_table(found: dict) -> str:
    flash = "with" if found["flash_attn"] else "without"
    lines = [f"{found['model']}, {found['device']}, {flash} flash-attn; {found['work']}.", ""]
    lines += ["| stage | variant | rollout, s | score, s | update, s | cycle, s | peak memory, GB |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for stage, variants in found["stages"].items():
        for name, row in variants.items():
            seconds = " | ".join(f"{row[f'{part}_s']:.3f}" for part in ("rollout", "score", "update", "cycle"))
            memory = "" if row["peak_gb"] is None else f"{row['peak_gb']:.1f}"
            lines.append(f"| {stage} | {name} | {seconds} | {memory} |")
    lines += ["", f"Largest difference of a log-probability between them: {found['logprobs_apart']:.1e}.", ""]
    lines += ["| engine | sampled tokens a second | clips heard again |", "|---|---|---|"]
    for name, row in found["rollouts"].items():
        lines.append(f"| {name} | {row['tokens_a_second']:.0f} | {row['clips_heard_again']} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the few files it writes")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on a CPU")
    parser.add_argument("--parts", nargs="+", default=["tests", "bench", "rl_step"], help="only these")
    parser.add_argument("--rl-step", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rl_step:
        sys.path[:0] = [str(HERE)]
        from rl_step import measure

        options.rl_step.write_text(json.dumps(measure(options.dry_run), indent=1) + "\n")
        return 0
    outcomes = []
    with tempfile.TemporaryDirectory() as work:
        for command in commands(Path(work), options.dry_run):
            if command.part in options.parts:
                print(f"{command.part}: {' '.join(command.words[1:])[:150]}", flush=True)
                outcomes.append(run(command))
                print(f"    {outcomes[-1].status} ({outcomes[-1].seconds:.0f} s)", flush=True)
                collect(Path(work), options.out, outcomes)  # after every step: what is there outlives what follows
    print(f"\n{(options.out / 'report.md').read_text()}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
