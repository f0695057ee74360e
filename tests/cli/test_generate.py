import json

import numpy as np
import pytest
import soundfile
import torch

from cogrl.cli.main import main
from cogrl.models.qwen2_audio import Qwen2Audio

QUESTION, CHOICES = "Which sound comes first?", ("low", "high", "both at once")
ASKED = ("--question", QUESTION, "--choices", *CHOICES)
TONE = (np.sin(np.arange(16_000) / 10) / 4).astype(np.float32)


@pytest.fixture(scope="module")
def says_b(tiny_policy_dir, tmp_path_factory) -> str:
    """The tiny policy, trained to answer this question with B."""
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    lines = [QUESTION, *(f"{letter}. {choice}" for letter, choice in zip("ABC", CHOICES, strict=True))]
    order = "Answer with one choice, by its letter or its text, and nothing else."
    prompts = policy.encode_prompts(["\n".join([*lines, order])], [TONE], ["clip"])
    targets, optimizer = policy.encode_targets(["B"]), torch.optim.Adam(policy.parameters(), 3e-2)
    for _ in range(40):
        loss = -(policy.token_logprobs(prompts, targets).logprobs * targets.mask).sum() / targets.mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    folder = tmp_path_factory.mktemp("choice") / "policy"
    policy.save(folder)
    return str(folder)


@pytest.fixture
def generate(workdir, tiny_policy_dir, capsys):
    """`generate(*arguments)`: the status and what is printed about clip.wav, of the tiny policy where none is named."""
    for name in ("clip.wav", "other.wav"):
        soundfile.write(workdir / name, TONE, 16_000)

    def run(*args: str, files=("clip.wav",), policy=tiny_policy_dir) -> tuple[int, str]:
        status = main(["generate", *files, *args, "--policy", str(policy), "--max-new-tokens", "5"])
        message = capsys.readouterr()
        return status, message.out + message.err

    return run


def test_the_answer_is_shown_with_the_choice_that_it_names(generate, says_b):
    assert generate(*ASKED, policy=says_b) == (0, "choice:\nB\nchoice: high\n\n")


def test_an_answer_that_names_no_choice_says_so_and_what_would(generate):
    status, message = generate(*ASKED)
    assert status == 0 and message.startswith("choice:\n")
    assert message.endswith("\nchoice: none of low, high, both at once (it may name one, and say nothing else)\n\n")


def test_an_open_question_has_an_answer_and_no_choice(generate, says_b):
    status, message = generate("--question", QUESTION, "--json", policy=says_b)
    answers = json.loads(message)
    assert status == 0 and set(answers) == {"audio", "policy", "choice"}
    assert set(answers["choice"]) == {"text", "reply", "finished"}
    assert answers["choice"]["reply"] == answers["choice"]["text"].strip() != ""


def test_several_clips_are_asked_one_after_another(generate, says_b):
    files = ("clip.wav", "other.wav")
    status, message = generate(*ASKED, files=files, policy=says_b)
    assert (status, message) == (0, "".join(f"{file}\nchoice:\nB\nchoice: high\n\n" for file in files))
    _, message = generate(*ASKED, "--json", files=files, policy=says_b)
    rows = [json.loads(line) for line in message.splitlines()]
    assert [(row["audio"], row["choice"]["choice"]) for row in rows] == [(file, "high") for file in files]


def test_the_format_is_chosen_by_its_name(generate):
    status, message = generate(*ASKED, "--format", "think_choice", "--format", "choice", "--json")
    answers = json.loads(message)
    assert status == 0 and list(answers)[2:] == ["think_choice", "choice"]
    assert answers["think_choice"]["choice"] is None  # random weights do not write the tags
    status, message = generate("--format", "direct")
    assert status == 0 and message.startswith("direct (answering at once):") and "eips" not in message


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("--question", QUESTION, "--choices", "a"), "must be two or more different texts, got ['a']"),
        (("--choices", "a", "b"), "choices and answer need a question"),
        ((*ASKED, "--format", "choise"), "no format is called 'choise'; did you mean choice?"),
        (("--format", "choice"), "--format choice: has no question, which format choice asks"),
        ((*ASKED, "--format", "eips"), "--format eips: has a question, which format eips does not ask"),
    ],
)
def test_what_can_not_be_asked_is_refused_before_any_weights_are_read(generate, args, reason):
    status, message = generate(*args, policy="nowhere")
    assert status == 2 and reason in message and message.count("\n") == 1


def test_every_clip_is_looked_at_before_the_first_is_answered(generate):
    status, message = generate(*ASKED, files=("clip.wav", "gone.wav"))
    assert status == 2 and message.startswith("cogrl: error: gone.wav: no such audio file")
