"""`cogrl evaluate` with segments that are cut while an answer is sampled, also on the layouts of the benchmarks."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_choice_evaluate import answers, figures, manifest, questions
from test_official import LISTS, layout, submitted  # noqa: F401

from cogrl.cli.main import main
from cogrl.data.clips import Clips
from cogrl.data.manifest import read_manifest
from cogrl.formats import format_named
from cogrl.formats.segments import SegmentRules
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout import Controller, Excerpt

FORMAT = "think_choice"
TRACE = "<think><seg>0.2, 0.7</seg></think><answer>tense</answer>"
CITED = [0.2, 0.7]
GOLD = ("Tense!", "calm")
CUTS = """
model:
  init_args:
    controllers:
      - class_path: test_relistening.Cuts
        init_args: {min_s: MIN_S}
"""


class Cuts(Controller):
    """Inserts each valid segment of a row's own text once its tag is closed."""

    def __init__(self, min_s: float) -> None:
        self.rules = SegmentRules(min_s=min_s)

    def begin(self, policy, inputs, group_size):
        self.policy, self.inputs, self.group_size = policy, inputs, group_size
        self.drawn = {row: [] for row in range(len(inputs) * group_size)}
        self.done = dict.fromkeys(self.drawn, 0)

    def after(self, tokens, logprobs, rows):
        return {row: self.excerpts(row, token) for row, token in zip(rows.tolist(), tokens.tolist(), strict=True)}

    def excerpts(self, row, token):
        self.drawn[row].append(token)
        clip, rate = self.inputs[row // self.group_size], self.policy.sampling_rate
        if isinstance(clip, str):
            return []
        found = self.rules.citations(self.policy.tokenizer.decode(self.drawn[row]), len(clip) / rate)
        fresh, self.done[row] = found[self.done[row] :], len(found)
        spans = [one.span for one in fresh if not one.invalid]
        cut = lambda span: np.ascontiguousarray(clip[round(span.start_s * rate) : round(span.end_s * rate)])
        return [Excerpt(cut(span), span) for span in spans]


@pytest.fixture(scope="module")
def cites(tiny_policy_dir, smoke_corpus, tmp_path_factory) -> str:
    """The tiny policy, trained to cite one half second of every clip and to say `tense`, with and without choices."""
    folder = tmp_path_factory.mktemp("cites")
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    examples = read_manifest(manifest(folder / "m.jsonl", questions(smoke_corpus, 4)))
    examples += [replace(example, choices=()) for example in examples]
    clips = list(Clips(examples, policy.sampling_rate, policy.max_audio_s, False))
    waveforms, names = [clip.waveform for clip in clips], [example.id for example in examples]
    asked = [format_named(FORMAT).instruction(example) for example in examples]
    prompts, targets = policy.encode_prompts(asked, waveforms, names), policy.encode_targets([TRACE] * len(clips))
    optimizer = torch.optim.Adam(policy.parameters(), 2e-2)
    for _ in range(120):
        loss = -(policy.token_logprobs(prompts, targets).logprobs * targets.mask).sum() / targets.mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.02
    policy.save(folder / "policy")
    return str(folder / "policy")


@pytest.fixture
def compared(workdir, cites):
    """`compared(data, *flags)`: the folder of a report of one policy with and without its cuts."""

    def run(data, *flags, min_s=0.3):
        (workdir / "cuts.yaml").write_text(CUTS.replace("MIN_S", str(min_s)))
        policies = ["--policy", f"on={cites}", "--policy", f"off={cites}", "--controllers", "on=cuts.yaml"]
        args = ["--data", str(data), "--out", "report", "--max-new-tokens", "64", "--draws", "0", "--formats", FORMAT]
        assert main(["evaluate", *policies, *args, "--no-controls", *flags]) == 0
        return workdir / "report"

    return run


def test_one_checkpoint_with_and_without_inserted_segments(compared, smoke_corpus, workdir):
    records = [line | {"evidence": [{"start_s": 0.3, "end_s": 0.6}]} for line in questions(smoke_corpus, 4)]
    folder = compared(manifest(workdir / "questions.jsonl", records))
    on, off = (
        {name.removeprefix(f"{FORMAT}_segments_"): f["mean"] for name, f in figures(folder, policy).items()}
        for policy in ("on", "off")
    )
    assert off["cited"] == off["cited_hit"] == on["inserted"] == on["inserted_hit"] == 1.0
    assert off["inserted"] == off["audio_tokens"] == off["inserted_tokens"] == off["inserted_seconds"] == 0.0
    assert on["inserted_seconds"] == pytest.approx(0.5) and on["cited_iou"] == pytest.approx(0.3 / 0.5)
    assert on["inserted_tokens"] > on["audio_tokens"] > 0 and on["ms"] > 0 and off["ms"] > 0
    report = json.loads((folder / "report.json").read_text())
    assert set(report["differences"]) == {"off - on", "on - off"}
    found = answers(folder)
    assert all(one["segments"]["spans"] == [CITED] for one in found[:4])
    assert all(one["segments"]["spans"] == [] and one["segments"]["cited"] == [CITED] for one in found[4:])
    assert all(one["rollout"]["relistens"] == one["segments"]["clips"] == 1 for one in found[:4])


def test_tags_are_read_by_the_rules_of_each_policy_s_controller(compared, smoke_corpus, workdir):
    folder = compared(manifest(workdir / "questions.jsonl", questions(smoke_corpus, 2)), min_s=0.6)
    on, off = figures(folder, "on"), figures(folder, "off")
    assert (
        on[f"{FORMAT}_segments_invalid_too_short"]["mean"] == 1.0 and on[f"{FORMAT}_segments_inserted"]["mean"] == 0.0
    )
    assert off[f"{FORMAT}_segments_invalid"]["mean"] == 0.0 and off[f"{FORMAT}_segments_cited"]["mean"] == 1.0


def test_open_questions_that_cite_are_exact_after_normalisation(compared, smoke_corpus, workdir):
    records = [record | {"answer": answer} for record, answer in zip(questions(smoke_corpus, 2), GOLD, strict=True)]
    for record in records:
        del record["choices"]
    folder = compared(manifest(workdir / "questions.jsonl", records))
    off = [one for one in answers(folder) if one["policy"] == "off"]
    assert [(one["chosen"], one["right"]) for one in off] == [("tense", 1.0), ("tense", 0.0)]


@pytest.mark.parametrize("benchmark", LISTS)
def test_a_benchmark_is_answered_with_inserted_segments(compared, layout, benchmark):  # noqa: F811
    path, data = layout(benchmark, 2)
    folder = compared(data, "--benchmark", f"{benchmark}={path}")
    on, off = figures(folder, "on"), figures(folder, "off")
    assert on[f"{FORMAT}_segments_inserted"]["mean"] == 1.0 and off[f"{FORMAT}_segments_inserted"]["mean"] == 0.0
    assert on[f"{FORMAT}_segments_cited_hit"]["n"] == 0  # the official rows say nothing of where the answer is
    assert off["official_accuracy"]["mean"] == off["strict_accuracy"]["mean"] == 1.0
    suffix = "json" if benchmark == "mmau" else "jsonl"
    for name in ("on", "off"):
        found = submitted(folder / f"predictions_{name}.{suffix}")
        assert [row["id"] for row in found] == ["q0", "q1"]
