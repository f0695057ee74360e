"""Each overlay of experiments/ablations fits the pipeline it is laid over, and changes what it says and no more."""

from pathlib import Path

import pytest
import yaml

from cogrl.cli.pipeline.pipeline import Pipeline, read_pipeline

ROOT = Path(__file__).parents[2]
BASE = Path("configs/pipelines/cogaudio_mini.yaml")
OVERLAYS = sorted(file.relative_to(ROOT) for file in (ROOT / "experiments/ablations").glob("*.yaml"))
pytestmark = pytest.mark.usefixtures("in_the_repository")
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda file: file.stem)


def options(pipeline: Pipeline, step: str) -> dict[str, str]:
    """The flags of a fit by name, with its files under `config`."""
    (found,) = [s for s in pipeline.steps if s.name == step]
    flags = dict(word[2:].split("=", 1) for word in found.args if "=" in word)
    return flags | {"config": " ".join(word for word in found.args if word.endswith(".yaml"))}


def changed(overlay: str, step: str) -> dict[str, str]:
    """What a fit has in the variant and not in the full chain, apart from the folder it writes."""
    before, after = read_pipeline(BASE), read_pipeline(BASE, (), [Path(f"experiments/ablations/{overlay}.yaml")])
    old, new = options(before, step), options(after, step)
    assert new.keys() >= old.keys()
    return {key: value for key, value in new.items() if old.get(key) != value and key != "run_dir"}


@each_overlay
def test_a_variant_has_a_name_and_a_folder_of_its_own_and_reports_its_last_policy_alone(overlay):
    pipeline = read_pipeline(BASE, ["seed=2"], [overlay])
    assert (pipeline.name, str(pipeline.run_dir)) == (overlay.stem, f"runs/ablations/{overlay.stem}/seed2")
    *_, last, report = pipeline.steps
    assert (last.name, report.name) == ("dr_sapo", "report")
    policies = [report.args[i + 1] for i, word in enumerate(report.args) if word == "--policy"]
    assert policies == [f"dr_sapo={last.out}"]
    assert report.out == pipeline.run_dir / "report"
    (full,) = [step for step in read_pipeline(BASE, ["seed=2"]).steps if step.name == "report"]
    assert report.args[report.args.index("--data") :] == tuple(
        word.replace("runs/cogaudio_mini", f"runs/ablations/{overlay.stem}")
        for word in full.args[full.args.index("--data") :]
    )


@each_overlay
def test_a_variant_begins_with_what_the_main_run_of_its_seed_leaves(overlay):
    full, pipeline = read_pipeline(BASE, ["seed=2"]), read_pipeline(BASE, ["seed=2"], [overlay])
    made = {str(step.out) for step in full.steps}
    for step in pipeline.steps:
        if step.is_fit:
            assert options(pipeline, step.name)["model.policy.path"] in made, step.name
            made.add(str(step.out))
        assert not any("seed0" in word for word in step.args)


@each_overlay
def test_what_a_variant_changes_is_a_valid_configuration(overlay, printed):
    full, pipeline = read_pipeline(BASE), read_pipeline(BASE, (), [overlay])
    before = {step.name: step for step in full.steps}
    named = yaml.safe_load(overlay.read_text())["steps"]
    assert [step.name for step in full.steps if step.name in named] == list(named)
    for step in pipeline.steps:
        if step.is_fit and named[step.name]:
            assert step.args != before[step.name].args
            found = printed(list(step.args))
            assert found["run_dir"] == str(step.folder)
            without = overlay.stem == "no_emotion_module"
            assert (found["model"]["init_args"]["policy"]["init_args"]["emotion"] is None) == without


def test_grpo_differs_from_dr_sapo_in_nothing_but_the_objective():
    change = changed("grpo_clip", "dr_sapo")
    assert change == {"config": options(read_pipeline(BASE), "dr_sapo")["config"].replace("dr_sapo.yaml", "grpo.yaml")}
    grpo, dr_sapo = (yaml.safe_load((ROOT / f"configs/stage/{name}.yaml").read_text()) for name in ("grpo", "dr_sapo"))
    for stage in (grpo, dr_sapo):
        del stage["run_dir"], stage["model"]["class_path"]
    assert grpo["model"]["init_args"].pop("objective") == {"kind": "grpo"}
    assert grpo == dr_sapo


def test_the_full_chain_has_the_default_temperatures_and_the_sweep_changes_only_them():
    assert not [key for key in options(read_pipeline(BASE), "dr_sapo") if "tau" in key]
    assert "tau" not in (ROOT / "configs/stage/dr_sapo.yaml").read_text()
    assert changed("tau_5_6", "dr_sapo") == {"model.objective.tau_pos": "5.0", "model.objective.tau_neg": "6.0"}
    assert changed("tau_10_12", "dr_sapo") == {"model.objective.tau_pos": "10.0", "model.objective.tau_neg": "12.0"}


def test_one_format_practises_eips_alone():
    assert changed("one_format", "dr_sapo") == {"model.formats": '["eips"]'}


def test_without_distillation_rl_starts_from_sft():
    assert changed("no_distill", "dr_sapo") == {"model.policy.path": "runs/cogaudio_mini/seed0/sft/export"}


def test_without_the_emotion_module_no_stage_has_one():
    for step in ("align", "sft", "distill", "dr_sapo"):
        assert changed("no_emotion_module", step)["model.policy.emotion"] == "null"
        assert set(changed("no_emotion_module", step)) <= {"model.policy.emotion", "model.policy.path"}


def test_without_align_sft_hears_for_itself_in_as_many_steps():
    full, stage = read_pipeline(BASE), yaml.safe_load((ROOT / "configs/stage/align.yaml").read_text())
    align = int(options(full, "align").get("trainer.max_steps", stage["trainer"]["max_steps"]))
    assert changed("no_align", "sft") == {
        "model.policy.path": "runs/cogaudio_mini/seed0/read/export",
        "model.policy.emotion": '{"encoder": "runs/cogaudio_mini/seed0/emotion"}',
        "model.policy.train_audio_tower": "true",
        "trainer.max_steps": str(align + int(options(full, "sft")["trainer.max_steps"])),
    }
