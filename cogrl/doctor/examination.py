"""The list of checks and the order in which they run; a check that another one's fault makes pointless is left out."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch.utils.data import ConcatDataset

from cogrl.doctor.audio_contract import (
    another_clip,
    batch_of_one,
    frames_for_placeholders,
    sampled_and_scored,
    whole_clips,
)
from cogrl.doctor.case import Case
from cogrl.doctor.disk import room_on_disk
from cogrl.doctor.finding import Finding
from cogrl.doctor.learning import gradients_arrive, something_trains
from cogrl.doctor.memory_check import memory_of_a_step, memory_of_the_model
from cogrl.doctor.rewards import reward_tells_apart
from cogrl.doctor.tokens import audio_in_template, end_tokens, formats_in_tokens, special_tokens
from cogrl.models.check import check_policy

_SENTENCES = (ValueError, OSError, ImportError, FloatingPointError)
"""Errors whose message is meant for the user; of others the report also names the class."""


@dataclass(frozen=True)
class Check:
    """A check by name. `after` are those whose faults leave it nothing to look at; `cheap` ones run no model."""

    name: str
    run: Callable[[Case], Iterable[Finding]]
    after: tuple[str, ...] = ()
    cheap: bool = False


def policy_folder(case: Case) -> Iterable[Finding]:
    """The checks of `models.check`, which read no weights."""
    check_policy(case.policy)
    if getattr(case.stage, "reference", None):
        case.stage.reference.check()
    yield Finding("policy folder", "ok", f"{case.policy.path} is a whole {type(case.policy).__name__} folder")


def manifests(case: Case) -> Iterable[Finding]:
    """Every line, what the splits share, and every audio file, as `cogrl fit` reads them."""
    case.data.prepare_data()
    case.data.setup("fit")
    counts = ", ".join(f"{len(examples)} lines in {name}" for name, examples in case.data.examples.items())
    yield Finding("manifests", "ok", f"{counts}; audio at {case.data.sampling_rate} Hz, every file looked at")


def weights(case: Case) -> Iterable[Finding]:
    """Reads all weights, puts in adapters and moves everything to the device."""
    case.stage.configure_model()
    if getattr(case.stage, "reference", None):
        case.stage.reference.load()
    case.stage.to(case.device)
    count = sum(p.numel() for p in case.policy.parameters())
    yield Finding("weights", "ok", f"{count:,} numbers read, on {case.device}")


def settings(case: Case) -> Iterable[Finding]:
    """What policy, data, stage and trainer each have a setting of, and whether the weights are finite."""
    case.stage.check_agreement()
    yield Finding("settings", "ok", f"policy and data at {case.policy.sampling_rate} Hz; weights are finite")


def lines(case: Case) -> Iterable[Finding]:
    """Every line by the stage: clip and prompt lengths, targets, what the reward needs."""
    examples = ConcatDataset([case.stage.examples("train"), case.stage.examples("val")])
    case.stage.check(examples)
    yield Finding("lines", "ok", f"{type(case.stage).__name__} can use all {len(examples)}; none is cut or dropped")


CHECKS = (
    Check("policy folder", policy_folder),
    Check("manifests", manifests),
    Check("memory of the model", memory_of_the_model, ("policy folder",)),
    Check("weights", weights, ("policy folder", "memory of the model")),
    Check("settings", settings, ("weights",)),
    Check("audio in the template", audio_in_template, ("weights",), cheap=True),
    Check("special tokens", special_tokens, ("audio in the template",), cheap=True),
    Check("end tokens", end_tokens, ("weights", "manifests"), cheap=True),
    Check("lines", lines, ("weights", "manifests", "audio in the template")),
    Check("formats", formats_in_tokens, ("weights", "manifests"), cheap=True),
    Check("reward", reward_tells_apart, ("manifests",), cheap=True),
    Check("what trains", something_trains, ("weights",), cheap=True),
    Check("memory of a step", memory_of_a_step, ("weights", "lines"), cheap=True),
    Check("disk", room_on_disk, ("weights",), cheap=True),
    Check("frames for placeholders", frames_for_placeholders, ("lines", "special tokens")),
    Check("whole clips", whole_clips, ("frames for placeholders",)),
    Check("batch of one", batch_of_one, ("frames for placeholders",)),
    Check("another clip", another_clip, ("frames for placeholders",)),
    Check("sampled and scored", sampled_and_scored, ("frames for placeholders", "memory of a step")),
    Check("gradients", gradients_arrive, ("frames for placeholders", "what trains", "memory of a step")),
)


def examine(case: Case, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """The findings of all checks, in order. What a check raises is a fault, what it warns of a warning."""
    found: list[Finding] = []
    for check in checks:
        stopped = {finding.name for finding in found if finding.state in ("fault", "not run")}
        first = next((name for name in check.after if name in stopped), None)
        if first is not None:
            found.append(Finding(check.name, "not run", f"there is nothing to look at before {first!r} is put right"))
            continue
        with warnings.catch_warnings(record=True) as warned:
            found += outcome(check, case)
        said = dict.fromkeys(str(one.message) for one in warned if issubclass(one.category, UserWarning))
        found += [Finding(check.name, "warning", message) for message in said]
    return found


def outcome(check: Check, case: Case) -> list[Finding]:
    try:
        return list(check.run(case))
    except _SENTENCES as error:
        return [Finding(check.name, "fault", str(error))]
    except Exception as error:  # a broken folder makes libraries raise anything
        return [Finding(check.name, "fault", f"{type(error).__name__}: {error}")]
