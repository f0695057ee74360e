"""Settings of a sharding strategy that can not work, refused with what to do instead."""

from pathlib import Path

import psutil
import pytest
import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, SingleDeviceStrategy
from pytorch_lightning.utilities.enums import GradClipAlgorithmType

from cogrl.cli.main import main
from cogrl.parallel.fsdp import FsdpStrategy
from cogrl.parallel.host_memory import offload_bytes, refuse_small_host
from cogrl.parallel.zero import ZeroStrategy
from cogrl.stages.sharding import refuse_plain_sharding

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stage": 2, "offload_parameters": True}, r"are of stage 3, .* leave both out, or set stage: 3"),
        ({"stage": 1, "persistence_threshold": 0}, r"with stage=1 every rank holds them whole"),
    ],
)
def test_settings_of_another_stage_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        ZeroStrategy(**settings)


def test_an_offload_needs_its_shards_in_the_memory_of_the_host(policy, monkeypatch):
    count = sum(p.numel() for p in policy.parameters())
    policy.audio_tower.requires_grad_(False)
    trained = sum(p.numel() for p in policy.parameters() if p.requires_grad)
    assert offload_bytes(trained, 4 * count, True, True) == 16 * trained + 4 * count
    refuse_small_host(policy, 2, 4, True, True)
    free = psutil.virtual_memory()._replace(available=offload_bytes(trained, 4 * count, True, True) // 2 - 1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(ValueError, match=r"the offload of 2 of 4 ranks needs .* GiB .* use more hosts"):
        refuse_small_host(policy, 2, 4, True, True)
    refuse_small_host(policy, 1, 4, True, True)  # a quarter of it on each of four hosts
    refuse_small_host(policy, 2, 4, False, True)


def test_clipping_by_value_is_refused():
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, gradient_clip_val=1.0)
    trainer.gradient_clip_algorithm = GradClipAlgorithmType.VALUE
    with pytest.raises(ValueError, match=r"value is not to be had under ZeRO.* use norm"):
        ZeroStrategy(2).setup(trainer)


def test_what_deepspeed_takes_besides_is_laid_over_at_every_depth():
    strategy = ZeroStrategy(3, config={"zero_optimization": {"reduce_bucket_size": 7}, "wall_clock_breakdown": True})
    assert strategy.config["zero_optimization"]["reduce_bucket_size"] == 7
    assert strategy.config["zero_optimization"]["stage"] == 3 and strategy.config["wall_clock_breakdown"] is True
    assert type(strategy.config) is type(strategy.config["zero_optimization"]) is dict


@pytest.mark.parametrize(
    "strategy", ["deepspeed", "deepspeed_stage_2_offload", "deepspeed_stage_3", ModelParallelStrategy()]
)
def test_strategies_of_lightning_that_shard_are_refused_with_ours_named(strategy):
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, strategy=strategy)
    with pytest.raises(ValueError, match=r"Lightning's \w+Strategy.* configs/trainer/zero1\.yaml.* fsdp\.yaml"):
        refuse_plain_sharding(trainer.strategy)


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        ("deepspeed_stage_2", "Lightning's DeepSpeedStrategy"),
        ("zero3", "strategy='zero3'"),
        ("fsdp", "requires a GPU accelerator"),
    ],
)
def test_the_command_refuses_them_before_it_reads_data(
    strategy, reason, tiny_policy_dir, smoke_corpus, tmp_path, capsys
):
    files = ["stage/sft", "policy/tiny", "trainer/cpu"]
    words = [f"--config={CONFIGS / file}.yaml" for file in files] + [f"--run_dir={tmp_path / 'run'}"]
    words += [f"--model.policy.path={tiny_policy_dir}", f"--data.train={smoke_corpus / 'sft.jsonl'}"]
    assert main(["fit", *words, f"--trainer.strategy={strategy}"]) == 2
    said = capsys.readouterr().err
    assert reason in said and "zero3.yaml" in said and "Traceback" not in said


def test_other_strategies_are_not():
    for strategy in (DDPStrategy(), SingleDeviceStrategy(), ZeroStrategy(2), FsdpStrategy()):
        refuse_plain_sharding(strategy)
