"""Jobs of SLURM that are started again with the same command: they go on from their last checkpoint."""

import os

import pytorch_lightning as pl
from lightning_fabric.plugins.environments import SLURMEnvironment


def requeued() -> bool:
    """Whether SLURM has started this job before: after a time limit, a preemption or the failure of a node."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0


def leave_requeueing_to_slurm(trainer: pl.Trainer) -> None:
    """Turns off that Lightning saves and requeues when a signal arrives.

    It would do so in the middle of a step, at another place of it on each rank, into a checkpoint of its own.
    """
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment):
        environment.auto_requeue = False
