"""How often the audio of a rollout is read from its file."""

from collections import Counter

import pytest
import pytorch_lightning as pl
import torch

from cogrl.data import clips, module
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Grpo
from cogrl.types import Scores


class Rising:
    """The completions of a group differ in their rewards, whatever they say."""

    def score(self, answers) -> Scores:
        return Scores(torch.linspace(0, 1, len(answers)), {})


@pytest.mark.parametrize("workers", [0, 1])
def test_clips_are_decoded_once_a_rollout_and_not_once_a_micro_batch(
    workers, policy, smoke_corpus, tmp_path, monkeypatch
):
    decoded, load_audio = tmp_path / "decoded.txt", clips.load_audio

    def counting(path, *args):
        with decoded.open("a") as file:  # also from the loader's workers
            file.write(f"{path}\n")
        return load_audio(path, *args)

    monkeypatch.setattr(clips, "load_audio", counting)
    stage = Grpo(policy, reward=Rising(), group_size=2, updates_per_rollout=2, sampling=Sampling(max_new_tokens=2))
    sampled, sample = [], stage.sample
    stage.sample = lambda asked, *args: (
        sampled.extend(str(clip.example.audio) for clip in asked) or sample(asked, *args)
    )
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_steps=4, accumulate_grad_batches=2, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.fit(stage, module.AudioData(train=str(smoke_corpus / "sft.jsonl"), batch_size=4, workers=workers))
    assert (trainer.global_step, trainer.fit_loop.total_batch_idx + 1) == (4, 8) and len(sampled) == 8  # two rollouts
    found = Counter(decoded.read_text().splitlines())
    if workers:  # these load ahead, and nothing twice
        assert set(found.values()) == {1} and set(sampled) <= set(found)
    else:
        assert found == Counter(sampled)
