"""`cogrl run pipeline.yaml`: its steps one after another, each in its own process; finished steps are skipped."""

import argparse
import time
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pipeline", type=Path, help="YAML, see configs/pipelines/demo.yaml")
    parser.add_argument(
        "overlays",
        type=Path,
        nargs="*",
        metavar="OVERLAY",
        help="YAML laid over the pipeline, one after another, named before the options; of the steps, those that an "
        "overlay names run",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the pipeline"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="parse every step, look for its inputs, show what is done; run nothing"
    )


def main(options: argparse.Namespace) -> int:
    from cogrl.cli.pipeline.parent_run import ParentRun
    from cogrl.cli.pipeline.pipeline import read_pipeline
    from cogrl.cli.pipeline.steps import Runner
    from cogrl.cli.run_folder import sole_writer
    from cogrl.cli.stopping import STOPPED, handled, leave

    pipeline = read_pipeline(options.pipeline, options.set, options.overlays)
    if options.dry_run:
        from cogrl.cli.pipeline.dry_run import dry_run

        dry_run(pipeline)
        return 0
    start = time.monotonic()
    files = (options.pipeline, *options.overlays)
    with (
        sole_writer(pipeline.run_dir),
        handled(leave),
        ParentRun(pipeline.name, pipeline.run_dir, pipeline.tracking_uri, files) as parent,
    ):
        runner = Runner(pipeline, parent.run_id)
        for number in range(len(pipeline.steps)):
            status = runner.run(number)
            if status:
                parent.status = "KILLED" if status in STOPPED else "FAILED"
                return status
    print(f"{pipeline.name}: all {len(pipeline.steps)} steps done ({time.monotonic() - start:.1f} s)")
    show_summary(pipeline.steps[-1].out)
    return 0


def show_summary(out: Path | None) -> None:
    """What the last step of a pipeline has to say in short, if it is a report."""
    from cogrl.evaluate.summary import SUMMARY

    if out is not None and (out / SUMMARY).is_file():
        print(f"\n{(out / SUMMARY).read_text(encoding='utf-8')}", end="")
