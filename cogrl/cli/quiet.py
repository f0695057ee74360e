"""What libraries say in every sound run and nobody can act upon: left out here, message by message, and only here.

Any other warning is shown. What MLflow tells of its own is in `cogrl.callbacks.mlflow_store.prepare`.
"""

import logging
import sys
import warnings

_WARNINGS = {
    r"`isinstance\(treespec, LeafSpec\)`": "Lightning calls a function of torch by its old name",
    r"You have overridden `transfer_batch_to_device`": "on purpose: clips are decoded waveforms, no tensors",
    r"Found \d+ module\(s\) in eval mode": "frozen encoders and teachers are so on purpose",
    r"You passed in a `val_dataloader` but have no `validation_step`": "RL stages: the manifest guards the splits",
    r"Total length of `list` across ranks is zero": "no data.val",
    r"Checkpoint directory .* exists and is not empty": "so it is when a run goes on",
}
"""How the messages begin, and why they tell nothing."""
_LOGGERS = {
    "pytorch_lightning.utilities.rank_zero": logging.WARNING,  # which accelerators there are; advertisements
    "lightning_fabric.utilities.rank_zero": logging.WARNING,
    "pytorch_lightning.loggers.mlflow": logging.ERROR,
    "lightning_fabric.utilities.seed": logging.ERROR,  # "Seed set to 0": it stands in the configuration
}
"""The least level that these loggers show."""
_RECORDS = {"DeepSpeed": "Setting accelerator to CPU"}  # which is so wherever it is installed and there is no GPU
"""How records begin that these loggers do not show; they set their level themselves."""


class Beginning(logging.Filter):
    """Leaves out what begins like this."""

    def __init__(self, beginning: str) -> None:
        super().__init__()
        self.beginning = beginning

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self.beginning)


_FILTERS = {name: Beginning(beginning) for name, beginning in _RECORDS.items()}


def silence_imports() -> None:
    """Leave out what libraries say while they are imported; to be called before that."""
    for name, beginning in _FILTERS.items():
        logging.getLogger(name).addFilter(beginning)


def silence_messages() -> None:
    """Leave out what Lightning says in every run and, without a terminal, the bars of weights that are being read."""
    from transformers.utils.logging import disable_progress_bar

    for name, level in _LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    if not sys.stderr.isatty():
        disable_progress_bar()


def ask_for_no_workers() -> None:
    """Leave out Lightning's advice to take more loader workers: clips that are kept in memory need none."""
    warnings.filterwarnings("ignore", message="The '.*_dataloader' does not have many workers")
