"""`cogrl generate --relisten`: what was inserted is said and saved, and what can not be heard whole is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from citing import END, written

from cogrl.cli.main import main
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout.controllers import Relisten
from cogrl.types import Clip, Example, Role

QUESTION, CHOICES = "Which sound comes first?", ("low", "high")
ASKED = ("--question", QUESTION, "--choices", *CHOICES)
SAID = "<think>a <seg>0.2, 0.7</seg> b <seg>9, 10</seg></think><answer>high</answer>"
RATE = 16_000
TONE = (np.sin(np.arange(RATE) / 10) * np.linspace(0.1, 0.5, RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def cites(tiny_policy_dir, tmp_path_factory) -> str:
    """The tiny policy, trained to answer this question with `SAID`, of which it hears the valid segment."""
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    example = Example("clip", tiny_policy_dir, question=QUESTION, choices=CHOICES)
    said = written(policy, [Clip(example, TONE)], [[SAID, END]], Relisten(), format="echo")
    prompts, completions = said.prompts, said.completions
    sampled = completions.roles.masked_fill(completions.roles == Role.BENT, int(Role.SAMPLED))
    targets = replace(completions, roles=sampled)
    optimizer = torch.optim.Adam(policy.parameters(), 1e-2)
    for _ in range(150):
        loss = -(policy.token_logprobs(prompts, targets).logprobs * targets.mask).sum() / targets.mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.03:
            break
    assert loss < 0.03
    folder = tmp_path_factory.mktemp("cites") / "policy"
    policy.save(folder)
    return str(folder)


@pytest.fixture
def generate(workdir, cites, capsys):
    """`generate(*arguments)`: the status, and what is printed about clip.wav."""
    soundfile.write(workdir / "clip.wav", TONE, RATE)

    def run(*args: str, files=("clip.wav",), policy=cites, asked=ASKED) -> tuple[int, str]:
        status = main(["generate", *files, *asked, *args, "--policy", policy, "--max-new-tokens", "90"])
        message = capsys.readouterr()
        return status, message.out + message.err

    return run


def test_an_answer_says_what_it_heard_once_more_and_what_was_refused(generate):
    lines = ["echo:", SAID, "choice: high", "heard once more: 0.2 to 0.7 s"]
    lines += ["refused segment: <seg>9, 10</seg> (outside)", "", ""]
    assert generate("--relisten") == (0, "\n".join(lines))


def test_the_same_in_json_and_under_the_rules_of_a_file(generate, workdir):
    _, message = generate("--relisten", "--json")
    answer = json.loads(message)["echo"]
    refused = {"tag": "<seg>9, 10</seg>", "reason": "outside"}
    assert (answer["segments"], answer["refused_segments"], answer["choice"]) == ([[0.2, 0.7]], [refused], "high")
    item = "      - {class_path: cogrl.rollout.controllers.Relisten, init_args: {rules: {min_s: 0.6}}}\n"
    strict = "model:\n  init_args:\n    controllers:\n" + item
    (workdir / "strict.yaml").write_text(strict)
    status, message = generate("--format", "echo", "--controllers", "strict.yaml", "--json")
    found = json.loads(message)["echo"]
    assert status == 0 and found["segments"] == []
    assert found["refused_segments"][0] == {"tag": "<seg>0.2, 0.7</seg>", "reason": "too_short"}
    (workdir / "twice.yaml").write_text(strict + item)
    assert "--controllers names 2 of Relisten" in generate("--controllers", "twice.yaml")[1]
    plain = json.loads(generate("--format", "echo", "--json")[1])["echo"]
    assert "segments" not in plain and plain["text"].startswith("<think>a <seg>0.2, 0.7</seg>")


def test_what_was_inserted_is_saved_as_the_policy_heard_it(generate, workdir):
    """Of a stereo file at another rate it is a part of the converted clip."""
    stereo = np.stack([TONE, TONE], 1)
    soundfile.write(workdir / "stereo.wav", np.repeat(stereo, 3, 0), 3 * RATE)
    for name in ("clip", "stereo"):
        assert generate("--relisten", "--save-segments", f"{name}_parts", files=(f"{name}.wav",))[0] == 0
    found, rate = soundfile.read(workdir / "clip_parts/clip_echo_1.wav")
    assert rate == RATE and [file.name for file in (workdir / "clip_parts").iterdir()] == ["clip_echo_1.wav"]
    np.testing.assert_allclose(found, TONE[3_200:11_200], atol=1e-4)
    converted, rate = soundfile.read(workdir / "stereo_parts/stereo_echo_1.wav")
    assert rate == RATE and converted.shape == (8_000,)
    assert np.corrcoef(converted, TONE[3_200:11_200])[0, 1] > 0.95
    assert "clip_parts is not empty" in generate("--relisten", "--save-segments", "clip_parts")[1]
    (workdir / "other").mkdir()
    soundfile.write(workdir / "other/clip.wav", TONE, RATE)
    files = ("clip.wav", "other/clip.wav")
    assert "several files are called clip" in generate("--relisten", "--save-segments", "new", files=files)[1]


def test_a_clip_that_does_not_fit_into_the_window_is_refused_with_the_ways_out(generate, workdir):
    """Of a 60 s file and a window of 30 s the same: nothing is cut before the policy has heard the whole."""
    soundfile.write(workdir / "long.wav", np.tile(TONE, 6), RATE)
    status, message = generate("--relisten", files=("long.wav",))
    assert status == 2 and message.startswith("cogrl: error: long.wav: 6.00 s of audio; this model hears 0.1 to 4 s")
    assert "cuts its segments out of a clip that was heard whole: Qwen2.5-Omni hears up to 300 s" in message
    assert "heard whole" not in generate(files=("long.wav",))[1]


def test_segments_to_save_need_re_listening(generate):
    assert "give --relisten, or a Relisten in --controllers" in generate("--save-segments", "parts", policy="x")[1]
