"""Weights out of a folder of safetensors, by vLLM's own weight-transfer protocol. Runs in vLLM's environment, not ours.

`vllm serve ... --weight-transfer-config '{"backend": "folder"}' --worker-extension-cls
cogrl_folder_weights.FolderWeightsWorker`, with the folder of this file on PYTHONPATH. It imports nothing of cogrl.
"""

from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from vllm.distributed.weight_transfer import WeightTransferEngineFactory
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

BACKEND = "folder"


@dataclass
class FolderInitInfo(WeightTransferInitInfo):
    """Nothing has to be agreed on before the first update."""


@dataclass
class FolderUpdateInfo(WeightTransferUpdateInfo):
    """A folder with all weights of the model under the names of its checkpoint, and how many tensors they are."""

    folder: str
    tensors: int


class FolderWeights(WeightTransferEngine[FolderInitInfo, FolderUpdateInfo]):
    """Loads the whole model anew from `folder`, which this process must be able to read (one machine: /dev/shm)."""

    init_info_cls = FolderInitInfo
    update_info_cls = FolderUpdateInfo

    def init_transfer_engine(self, init_info: FolderInitInfo) -> None:
        """Nothing to set up."""

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: FolderUpdateInfo) -> None:
        """Raises ValueError when the folder does not hold the announced number of tensors: it is another one."""
        files = sorted(Path(update_info.folder).glob("*.safetensors"))
        found = sum(len(safe_open(file, framework="pt").keys()) for file in files)
        if found != update_info.tensors:
            raise ValueError(f"{update_info.folder} holds {found} tensors and not {update_info.tensors} as announced")
        self.model.load_weights(tensor for file in files for tensor in load_file(file).items())

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        """Nothing to give back."""


class FolderWeightsWorker:
    """Adds nothing to vLLM's worker: naming it makes every worker import this file, which registers the backend."""


if BACKEND not in WeightTransferEngineFactory._registry:
    WeightTransferEngineFactory.register_engine(BACKEND, FolderWeights)
