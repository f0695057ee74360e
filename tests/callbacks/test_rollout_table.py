import base64
import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch

from cogrl.callbacks.mlflow_logger import MLflowLogger
from cogrl.callbacks.report import data_uri, rollout_page
from cogrl.callbacks.rollout_table import RolloutTable, number, rows
from cogrl.types import Clip, Completions, Example, Prompts, Rollouts, Scores, Speech

NAN = float("nan")


def rollouts(texts=("a", "b", "c", "d"), step=8) -> tuple[Rollouts, Scores]:
    """Two groups of two completions: eips on a sad clip, direct on a happy one."""
    rng = np.random.default_rng(0)
    clips = [
        Clip(
            Example(name, Path(f"{name}.flac"), "rl", f"words of {name}", f"t-{name}", "spk", emotion),
            rng.uniform(-0.5, 0.5, 800).astype(np.float32),
        )
        for name, emotion in (("one", "sad"), ("two", "happy"))
    ]
    ids = torch.zeros(4, 3, dtype=torch.long)
    sampled = Rollouts(
        clips=clips,
        formats=["eips", "direct"],
        prompts=Prompts(torch.zeros(2, 5, dtype=torch.long), torch.ones(2, 5, dtype=torch.long), {}),
        completions=Completions.from_mask(ids, ids == 0),
        sampling_logprobs=torch.zeros(4, 3),
        texts=list(texts),
        finish=["end", "end", "length", "end"],
        group_size=2,
        policy_version=step,
        rewards=torch.tensor([1.0, 0.0, 0.5, 0.25]),
        advantages=torch.tensor([1.0, -1.0, 0.75, 0.0]),
    )
    terms = {"emotion": torch.tensor([1.0, 0.0, NAN, NAN]), "empathy": torch.tensor([0.1, 0.2, 0.3, 0.4])}
    return sampled, Scores(sampled.rewards, terms)


def test_each_row_belongs_to_its_own_clip_format_and_rewards():
    records = rows(*rollouts())
    assert [(r["group"], r["id"], r["format"], r["emotion"], r["text_group"]) for r in records] == [
        (0, "one", "eips", "sad", "t-one"),
        (0, "one", "eips", "sad", "t-one"),
        (1, "two", "direct", "happy", "t-two"),
        (1, "two", "direct", "happy", "t-two"),
    ]
    assert [r["completion"] for r in records] == ["a", "b", "c", "d"]
    assert [r["reward/emotion"] for r in records] == [1.0, 0.0, None, None]
    assert [r["reward"] for r in records] == [1.0, 0.0, 0.5, 0.25]
    assert [r["advantage"] for r in records] == [1.0, -1.0, 0.75, 0.0]
    assert [r["finished"] for r in records] == [True, True, False, True]
    assert {r["step"] for r in records} == {8}
    assert json.loads(json.dumps(records)) == records


def test_a_reward_that_does_not_apply_is_null_and_not_zero():
    assert number(torch.tensor(NAN)) is None
    assert number(torch.tensor(0.0)) == 0.0


def test_the_page_plays_the_very_clip_that_was_heard():
    sampled, scores = rollouts()
    page = rollout_page(8, rows(sampled, scores), sampled.clips, 16000)
    sounds = re.findall(r'src="data:audio/wav;base64,([^"]+)"', page)
    assert len(sounds) == 2
    for sound, clip in zip(sounds, sampled.clips, strict=True):
        waveform, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)), dtype="float32")
        assert rate == 16000
        assert np.abs(waveform - clip.waveform).max() < 1e-4


def test_what_the_policy_says_can_not_become_markup():
    sampled, scores = rollouts(texts=("<script>alert(1)</script>", "</section>", "a & b", "<thought>"))
    page = rollout_page(8, rows(sampled, scores), sampled.clips, 16000)
    assert "<script>" not in page
    assert page.count("</section>") == 2
    assert "&lt;thought&gt;" in page
    assert "a &amp; b" in page


def test_a_cut_completion_a_missing_reward_and_the_sign_of_an_advantage_are_seen():
    sampled, scores = rollouts()
    page = rollout_page(8, rows(sampled, scores), sampled.clips, 16000)
    assert page.count("<em>(cut)</em>") == 1
    assert page.count("–</td>") == 2
    assert 'class="number good">0.75' in page
    assert 'class="number bad">-1' in page


def test_notes_stand_in_the_record_and_are_shown_by_their_sign_under_the_completion():
    sampled, scores = rollouts()
    scores = replace(scores, notes={"asr": ["+low: kettle; -high: <b>", "", "?calm", ""]})
    records = rows(sampled, scores)
    assert [record["note/asr"] for record in records] == ["+low: kettle; -high: <b>", "", "?calm", ""]
    page = rollout_page(8, records, sampled.clips, 16000)
    shown = (
        '<div class="note">asr: <span class="good">+low: kettle</span>; <span class="bad">-high: &lt;b&gt;</span></div>'
    )
    assert shown in page and '<span class="">?calm</span>' in page
    assert page.count('class="note"') == 2 and ">note/asr<" not in page


def test_a_silent_clip_still_gets_a_player():
    assert data_uri(np.zeros(10, dtype=np.float32), 16000).startswith("data:audio/wav;base64,UklGR")


class Policy:
    sampling_rate = 16000


class SamplingStage(pl.LightningModule):
    """A stage as the table sees it: what was sampled last, and the policy's sampling rate."""

    rollouts = scores = None
    policy = Policy()

    @property
    def rollouts_step(self) -> int:
        return self.rollouts.policy_version


def trainer_in(folder: Path) -> pl.Trainer:
    return pl.Trainer(default_root_dir=folder, logger=False, accelerator="cpu", enable_checkpointing=False)


def written(folder) -> list[str]:
    return sorted(p.name for p in (folder / "rollouts").glob("*.jsonl"))


def test_every_nth_rollout_is_kept_once_however_many_updates_it_feeds(tmp_path):
    table, stage, trainer = RolloutTable(every_n_rollouts=2), SamplingStage(), trainer_in(tmp_path)
    for step in range(0, 12, 2):
        stage.rollouts, stage.scores = rollouts(step=step)
        for update in range(2):
            table.on_train_batch_end(trainer, stage, None, None, update)
    assert written(tmp_path) == ["000000.jsonl", "000004.jsonl", "000008.jsonl"]
    assert len((tmp_path / "rollouts" / "000004.jsonl").read_text().splitlines()) == 4


def test_a_resumed_table_keeps_counting(tmp_path):
    stage, trainer = SamplingStage(), trainer_in(tmp_path)
    table = RolloutTable(every_n_rollouts=2)
    stage.rollouts, stage.scores = rollouts(step=0)
    table.on_train_batch_end(trainer, stage, None, None, 0)
    resumed = RolloutTable(every_n_rollouts=2)
    resumed.load_state_dict(table.state_dict())
    for step in (2, 4):
        stage.rollouts, stage.scores = rollouts(step=step)
        resumed.on_train_batch_end(trainer, stage, None, None, 0)
    assert written(tmp_path) == ["000000.jsonl", "000004.jsonl"]


def test_the_page_shows_no_more_groups_than_asked_for_and_the_file_all(tmp_path):
    stage = SamplingStage()
    stage.rollouts, stage.scores = rollouts(step=0)
    RolloutTable(groups=1).on_train_batch_end(trainer_in(tmp_path), stage, None, None, 0)
    assert (tmp_path / "rollouts" / "000000.html").read_text().count("<audio") == 1
    assert len((tmp_path / "rollouts" / "000000.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("settings", [{"every_n_rollouts": -1}, {"groups": 0}])
def test_senseless_settings_are_refused(settings):
    with pytest.raises(ValueError, match="rollout_table"):
        RolloutTable(**settings)


def artifact_folder(logger: MLflowLogger) -> Path:
    return Path(logger.experiment.get_run(logger.run_id).info.artifact_uri.removeprefix("file://"))


def written_since(folder: Path, before: dict[Path, tuple[int, int]]) -> int:
    """Bytes of the files that are new or were written again; `before` is brought up to date."""
    now = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*") if path.is_file()}
    changed = sum(size for path, (when, size) in now.items() if before.get(path) != (when, size))
    before.clear()
    before.update(now)
    return changed


def tracked(folder: Path) -> list[dict[str, str]]:
    """All rows that MLflow can show as tables."""
    rows = []
    for file in sorted(folder.rglob("*.csv")):
        with file.open(encoding="utf-8", newline="") as opened:
            rows += csv.DictReader(opened)
    return rows


def test_keeping_a_rollout_costs_the_same_at_any_step(workdir):
    logger, stage = MLflowLogger(), SamplingStage()
    trainer = pl.Trainer(default_root_dir=workdir, logger=logger, accelerator="cpu", enable_checkpointing=False)
    table, seen, costs = RolloutTable(every_n_rollouts=1), {}, []
    for step in range(0, 60, 2):
        stage.rollouts, stage.scores = rollouts(step=100 + step)
        table.on_train_batch_end(trainer, stage, None, None, 0)
        costs.append(written_since(artifact_folder(logger), seen))
    assert costs[0] > 0 and len(set(costs)) == 1
    assert len(tracked(artifact_folder(logger))) == 30 * 4
    assert [row["step"] for row in tracked(artifact_folder(logger))][::4] == [str(step) for step in range(100, 160, 2)]


def test_what_is_said_comes_back_from_the_table_as_it_was(workdir):
    texts = ("a, b", 'she said "no"', "two\nlines", "")
    logger, stage = MLflowLogger(), SamplingStage()
    trainer = pl.Trainer(default_root_dir=workdir, logger=logger, accelerator="cpu", enable_checkpointing=False)
    stage.rollouts, stage.scores = rollouts(texts=texts)
    RolloutTable().on_train_batch_end(trainer, stage, None, None, 0)
    found = tracked(artifact_folder(logger))
    assert tuple(row["completion"] for row in found) == texts
    assert [row["reward/emotion"] for row in found] == ["1.0", "0.0", "", ""]


def test_a_resumed_run_replaces_the_steps_it_does_again_and_keeps_the_others(workdir):
    logger = MLflowLogger()

    def keep(steps, logger, state):
        stage, table = SamplingStage(), RolloutTable(every_n_rollouts=1)
        trainer = pl.Trainer(default_root_dir=workdir, logger=logger, accelerator="cpu", enable_checkpointing=False)
        table.load_state_dict(state)
        for step in steps:
            stage.rollouts, stage.scores = rollouts(step=step)
            table.on_train_batch_end(trainer, stage, None, None, 0)

    keep([0, 2, 4], logger, {"seen": 0})
    logger.finalize("failed")
    keep([2, 4, 6], MLflowLogger(run_id=logger.run_id), {"seen": 1})  # the checkpoint was of step 2
    assert [row["step"] for row in tracked(artifact_folder(logger))] == [
        *(str(step) for step in (0, 2, 4, 6) for _ in range(4)),
    ]


def test_the_rollout_that_a_resumed_run_is_in_the_middle_of_is_not_counted_again(workdir):
    trainer = pl.Trainer(default_root_dir=workdir, logger=False, accelerator="cpu", enable_checkpointing=False)

    def keep(table, *steps):
        for step in steps:
            stage = SamplingStage()
            stage.rollouts, stage.scores = rollouts(step=step)
            table.on_train_batch_end(trainer, stage, None, None, 0)
        return table

    state = keep(RolloutTable(every_n_rollouts=2), 0, 2, 4).state_dict()
    resumed = RolloutTable(every_n_rollouts=2)
    resumed.load_state_dict(state)
    keep(resumed, 4, 6, 8)  # the middle of the rollout of step 4, and two more
    assert sorted(file.stem for file in (workdir / "rollouts").glob("*.jsonl")) == ["000000", "000004", "000008"]


def test_each_spoken_reply_has_a_player_under_its_own_completion():
    sampled, scores = rollouts()
    drawn = torch.zeros(1, 2, dtype=torch.long)
    said = [
        Speech(drawn, torch.zeros(1, 2), drawn, True, np.full(240, level, np.float32), 24_000) for level in (0.1, 0.2)
    ]
    spoken = replace(sampled, speech=[said[0], None, None, said[1]])
    records = rows(spoken, scores)
    assert [record["speech_s"] for record in records] == [0.01, None, None, 0.01]
    assert "speech_s" not in rows(sampled, scores)[0]
    page = rollout_page(8, records, sampled.clips, 16000, spoken.speech)
    cells = re.findall(r'<td class="said">(\w).*?</td>', page)
    players = re.findall(
        r'<td class="said">(\w)(?: <em>.*?</em>)?<div class="note">spoken: <audio[^>]*base64,([^"]+)"', page
    )
    assert cells == ["a", "b", "c", "d"] and [name for name, _ in players] == ["a", "d"]
    for (_, sound), one in zip(players, said, strict=True):
        waveform, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)), dtype="float32")
        assert rate == 24_000 and np.abs(waveform - one.waveform).max() < 1e-4
