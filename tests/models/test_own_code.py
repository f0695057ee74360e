"""Python code in a folder: run when it was asked for, of that folder alone, and only where its parts are what is run.

`OwnAudioForConditionalGeneration` is in a real file of a folder: Qwen3-ASR with a gain on what its projector makes of a
clip, a number of its own config, and a processor of its own.
"""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from format_instructions import INSTRUCTIONS

from cogrl.cli.main import main
from cogrl.models.any_audio_lm import AnyAudioLM
from cogrl.models.check import check_policy
from cogrl.models.from_folder import FromFolder
from cogrl.models.saved import saved_policy

CONFIGS = Path(__file__).parents[2] / "configs"
CODE = """
from transformers import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRModel, Qwen3ASRProcessor


class OwnAudioConfig(Qwen3ASRConfig):
    def __init__(self, gain=1.0, **kwargs):
        self.gain = gain
        super().__init__(**kwargs)


class OwnAudioModel(Qwen3ASRModel):
    def get_audio_features(self, *args, **kwargs):
        found = super().get_audio_features(*args, **kwargs)
        found.pooler_output = found.pooler_output * self.config.gain
        return found


class OwnAudioForConditionalGeneration(Qwen3ASRForConditionalGeneration):
    config_class = OwnAudioConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = OwnAudioModel(config)
        self.post_init()


class OwnAudioProcessor(Qwen3ASRProcessor):
    pass
"""
CAPPED = """

class CappedForConditionalGeneration(OwnAudioForConditionalGeneration):
    def forward(self, *args, **kwargs):
        found = super().forward(*args, **kwargs)
        found.logits = 0.02 * (found.logits / 0.02).tanh()
        return found


class TowerlessForConditionalGeneration(OwnAudioForConditionalGeneration):
    def __init__(self, config):
        super().__init__(config)
        self.model.own_audio = self.model.audio_tower
        del self.model.audio_tower

    def tie_weights(self, *args, **kwargs):
        pass

    _keys_to_ignore_on_load_missing = [".*own_audio.*"]
"""


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.fixture
def own(family_dir, tmp_path):
    """`own(gain)`: a folder of the tiny Qwen3-ASR with code of its own."""

    def write(gain=1.0, kind="OwnAudioForConditionalGeneration"):
        folder = shutil.copytree(family_dir("qwen3_asr"), tmp_path / f"own{gain}{kind}".replace(".", "_"))
        (folder / "own_audio.py").write_text(CODE + CAPPED)
        auto_map = {"AutoConfig": "own_audio.OwnAudioConfig", "AutoModelForSpeechSeq2Seq": f"own_audio.{kind}"}
        change(folder / "config.json", architectures=[kind], auto_map=auto_map, gain=gain)
        change(
            folder / "processor_config.json",
            auto_map={"AutoProcessor": "own_audio.OwnAudioProcessor"},
            processor_class="OwnAudioProcessor",
        )
        return folder

    return write


@pytest.fixture
def trusting():
    return lambda folder, **settings: AnyAudioLM(str(folder), trust_remote_code=True, **settings)


@torch.no_grad()
def logprobs(policy, clips):
    prompts = policy.encode_prompts(
        [INSTRUCTIONS["direct"]] * 2, [c.waveform for c in clips[:2]], [c.example.id for c in clips[:2]]
    )
    targets = policy.encode_targets([c.example.targets["direct"] for c in clips[:2]])
    return policy.token_logprobs(prompts, targets).logprobs[targets.mask]


def test_the_folders_own_model_config_and_processor_are_read_when_asked(own, trusting, make_policy, clips):
    plain, policies = make_policy("qwen3_asr"), {gain: trusting(own(gain)) for gain in (1.0, 2.0)}
    with pytest.raises(ValueError, match=r"its config.json names code of its own.*trust_remote_code: true"):
        check_policy(AnyAudioLM(policies[1.0].path))
    for gain, policy in policies.items():
        check_policy(policy)
        policy.load()
        kinds = [type(part).__name__ for part in (policy.model, policy.model.config, policy.processor)]
        assert kinds == ["OwnAudioForConditionalGeneration", "OwnAudioConfig", "OwnAudioProcessor"]
        assert policy.model.config.gain == gain
    plain.model.model.multi_modal_projector.linear_2.weight.data *= 2
    plain.model.model.multi_modal_projector.linear_2.bias.data *= 2
    torch.testing.assert_close(logprobs(policies[2.0], clips), logprobs(plain, clips), atol=1e-5, rtol=1e-5)
    assert (logprobs(policies[1.0], clips) - logprobs(plain, clips)).abs().max() > 1e-4


def test_what_other_commands_read_is_refused_still(own):
    for read in (FromFolder, saved_policy):
        with pytest.raises(ValueError, match="cogrl runs no code out of a model folder unless"):
            read(str(own(1.5 if read is FromFolder else 2.5)))


def test_a_forward_pass_that_does_more_than_its_parts_is_refused(own, trusting):
    with pytest.raises(ValueError, match=r"Capped\w+'s own forward pass and those of its language model .* nats"):
        trusting(own(kind="CappedForConditionalGeneration")).load()


def test_the_part_that_a_class_lacks_is_named(own, trusting):
    with pytest.raises(ValueError, match=r"TowerlessForConditionalGeneration has no model\.audio_tower"):
        trusting(own(kind="TowerlessForConditionalGeneration")).load()


def test_code_that_is_not_in_the_folder_is_not_looked_for(own, trusting):
    folder = own()
    change(folder / "config.json", auto_map={"AutoModel": "somewhere/else--own_audio.OwnAudioForConditionalGeneration"})
    with pytest.raises(ValueError, match=r"code of another repository; nothing is looked up.* own_audio\.OwnAudio"):
        trusting(folder).load()
    change(folder / "config.json", auto_map={"AutoModel": "nose.OwnAudioForConditionalGeneration"})
    with pytest.raises(FileNotFoundError, match=r"names nose\.OwnAudio.*not in the folder"):
        trusting(folder).load()


def test_a_run_trains_the_class_records_its_code_and_exports_it(own, trusting, workdir, smoke_corpus):
    folder = own(2.0)
    files = ("stage/sft", "trainer/cpu")
    configs = [word for file in files for word in ("--config", str(CONFIGS / f"{file}.yaml"))]
    policy = {"class_path": "AnyAudioLM", "init_args": {"path": str(folder), "trust_remote_code": True}}
    data = [f"--data.{split}={smoke_corpus / name}.jsonl" for split, name in (("train", "sft"), ("val", "val"))]
    shorter = ["--trainer.max_steps=1", "--data.batch_size=2", "--data.workers=0", "--trainer.limit_val_batches=1"]
    assert main(["fit", *configs, f"--model.policy={json.dumps(policy)}", *data, *shorter, "--run_dir=run"]) in (
        0,
        None,
    )
    record = json.loads(Path("run/environment.json").read_text())["code_of_model_folders"]
    assert record == {str(folder): {"own_audio.py": hashlib.sha256((CODE + CAPPED).encode()).hexdigest()}}
    exported = trusting("run/export").load()
    assert type(exported.model).__name__ == "OwnAudioForConditionalGeneration" and exported.model.config.gain == 2.0
    assert Path("run/export/own_audio.py").read_text() == CODE + CAPPED
