"""`cogrl ui`: MLflow's pages over the local store, reachable from this machine only."""

import argparse
import os
import sys

from cogrl.callbacks.mlflow_store import DEFAULT_STORE, absolute_uri, database, prepare


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", default=DEFAULT_STORE, help="what the runs were written to")
    parser.add_argument("--port", type=int, default=5000)


def main(options: argparse.Namespace) -> int:
    store = absolute_uri(options.store)
    file = database(store)
    if file is not None and not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; train something first, or name the store with --store")
    print(
        f"MLflow at http://127.0.0.1:{options.port} over {store}; it takes some seconds to start, Ctrl-C ends it",
        flush=True,
    )
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store, "--host", "127.0.0.1"]
    prepare()
    os.execv(sys.executable, [*command, "--port", str(options.port)])
