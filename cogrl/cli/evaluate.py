"""`cogrl evaluate`: policies on a manifest, side by side."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cogrl.cli.controllers import add_controllers, controllers_by_policy
from cogrl.cli.nearest import nearest
from cogrl.cli.open_answers import accuracy_of, add_open_rule
from cogrl.cli.out_folder import make_out_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Answer a manifest with one or more policies; print a summary, write tables with intervals."
    parser.add_argument(
        "--policy", action="append", required=True, metavar="[NAME=]DIR", help="Hugging Face folder; repeat to compare"
    )
    parser.add_argument("--data", type=Path, required=True, help="JSONL manifest to test on")
    parser.add_argument(
        "--conflict",
        type=Path,
        help="JSONL manifest with polar words, for the accuracy on conflict and consistent clips",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the report, its summary, answers, figure")
    parser.add_argument(
        "--convert", action="store_true", help="mix down and resample clips that are not mono at the policy's rate"
    )
    parser.add_argument(
        "--silent-clips",
        choices=("refuse", "keep"),
        default="refuse",
        help="keep: silent clips are asked about too",
    )
    parser.add_argument(
        "--history", choices=["heard", "left_out"], help="the earlier turns of dialogues; needed where there are any"
    )
    parser.add_argument(
        "--reward",
        type=Path,
        help="YAML that names the reward as for a stage, such as configs/reward/http_judge.yaml (default: the offline "
        "rubric, which reads English); a judge is asked eight questions a distinct answer",
    )
    add_controllers(parser, "[NAME=]", "repeat for policies of different names, or leave the name out for all of them")
    parser.add_argument("--max-new-tokens", type=int, default=128, help="longest answer (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", help="of the weights (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="only the first so many clips")
    parser.add_argument(
        "--draws", type=int, default=2, help="sampled replies a clip, for the response difference; 0: not measured"
    )
    parser.add_argument("--epitome", type=Path, help="folder of `cogrl epitome train`; adds ER, IP, EX levels")
    parser.add_argument(
        "--formats",
        nargs="+",
        default=["choice"],
        help="how questions are asked: choice, think_choice, both, or the import path of one of your own (default: "
        "choice)",
    )
    add_open_rule(parser)
    parser.add_argument(
        "--no-controls",
        action="store_true",
        help="ask about the clips only; else also about the words or question alone, on silence and on another clip",
    )
    parser.add_argument(
        "--reads",
        action="append",
        default=[],
        metavar="NAME",
        help="this policy reads the words of each clip with an emotion in place of its audio: a text-only model",
    )
    parser.add_argument(
        "--benchmark",
        metavar="NAME=FILE",
        help="mmau, mmar or mmsu and its official list, of which the manifest was built: scores by the official rule "
        "beside the strict parser, and writes the predictions under the official keys",
    )
    parser.add_argument("--store", help="MLflow store; logs the report, the figures and the metrics there when given")
    parser.add_argument("--parent-run", help="MLflow run to nest under")


def policy_name(item: str) -> str:
    """What a policy is called in the report: NAME of `NAME=DIR`, else the name of the folder."""
    name, _, path = item.rpartition("=")
    return name or Path(path).absolute().name


def refuse_repeated(option: str, names: Sequence[str], advice: str) -> None:
    """Raises ValueError where an option names one thing twice: figures are kept by name."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{option} names {name!r} {names.count(name)} times; {advice}")


def refuse_unknown_names(option: str, given: Sequence[str], policies: Sequence[str]) -> None:
    """Raises ValueError where an option names a policy that is not there."""
    for name in given:
        if name not in policies:
            raise ValueError(f"{option} {name}: no such policy; {nearest(name, policies)}")


def places(args: argparse.Namespace) -> dict[str, str]:
    """Where the rest of a report is."""
    from cogrl.callbacks.mlflow_store import DEFAULT_STORE, absolute_uri

    card = args.data.with_name("CARD.md")
    found = {"full report": str(args.out / "report.md")}
    if card.is_file():
        found["about the corpus"] = str(card)
    if args.store:
        ours = absolute_uri(args.store) == absolute_uri(DEFAULT_STORE)
        found["runs, answers, audio"] = f"{own_command()} ui" + ("" if ours else f" --store {args.store}")
    return found


def own_command() -> str:
    """How the shell finds this `cogrl`: by its name, or by its path where it is not on PATH."""
    beside = Path(sys.executable).with_name("cogrl")
    if shutil.which("cogrl") == str(beside) or not beside.exists():
        return "cogrl"
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)


def main(args: argparse.Namespace) -> None:
    import torch
    from transformers.utils.logging import disable_progress_bar

    from cogrl.cli.audio_lengths import check_audio_lengths
    from cogrl.cli.described import described
    from cogrl.data.clips import Clips
    from cogrl.data.errors import raise_all
    from cogrl.data.manifest import read_manifest, with_history
    from cogrl.evaluate.choice.answers import ask
    from cogrl.evaluate.choice.controls import CHOICE_CONTROLS
    from cogrl.evaluate.choice.official import read_official
    from cogrl.evaluate.choice.submitted import refuse_same_files
    from cogrl.evaluate.controls import CONTROLS
    from cogrl.evaluate.emotion import EVALUATED_FORMATS, evaluate_policy
    from cogrl.evaluate.epitome import load_all
    from cogrl.evaluate.lines import check_gradable, sorted_lines
    from cogrl.evaluate.polarity import polar_examples
    from cogrl.evaluate.report import write
    from cogrl.evaluate.summary import SUMMARY, summary
    from cogrl.formats import instructions
    from cogrl.models.prompt_length import overflows
    from cogrl.models.saved import refuse_no_policy, saved_policy
    from cogrl.rewards.cogaudio import cogaudio_reward
    from cogrl.rewards.composite import Reward

    disable_progress_bar()
    reward = cogaudio_reward()
    if args.reward:
        reward = described(args.reward, "model.init_args.reward", Reward, "configs/reward/http_judge.yaml")
    make_out_folder(args.out)  # refused now, not after all the answers
    for item in args.policy:
        refuse_no_policy(item.rpartition("=")[2])
    names = [policy_name(item) for item in args.policy]
    refuse_repeated("--policy", names, "tell them apart with --policy NAME=DIR")
    controllers = controllers_by_policy(args.controllers, names)
    refuse_repeated("--formats", args.formats, "ask in each format once")
    refuse_unknown_names("--reads", args.reads, names)
    controls, accuracy = {} if args.no_controls else CHOICE_CONTROLS, accuracy_of(args)
    voice_controls = {} if args.no_controls else CONTROLS
    if args.benchmark and len(args.formats) > 1:
        raise ValueError(f"--formats {' '.join(args.formats)}: a prediction file is of one format; name one")
    official = read_official(args.benchmark) if args.benchmark else None
    examples = with_history(read_manifest(args.data)[: args.limit], args.history)
    polar = with_history(polar_examples(args.conflict)[: args.limit], args.history) if args.conflict else []
    questions, spoken, notes = sorted_lines(examples, args.formats, reward, accuracy)
    check_gradable(polar, reward)
    if official:
        if not questions:
            raise ValueError(f"--benchmark {args.benchmark}: {args.data} has no question to be scored")
        official.check(questions)
        refuse_same_files(official, args.out, names)
    if polar and not spoken:
        raise ValueError(f"--conflict {args.conflict}: {args.data} has no line with an emotion to compare it with")
    raters = {name: found.rate for name, found in load_all(args.epitome).items()} if args.epitome else {}
    form = args.convert, args.silent_clips
    facts = check_audio_lengths([*examples, *polar], [item.rpartition("=")[2] for item in args.policy], *form)
    evaluations, choices = [], []
    for item in args.policy:
        path = item.rpartition("=")[2]
        policy = saved_policy(path, args.dtype)
        policy.to("cuda" if torch.cuda.is_available() else "cpu")
        limits = policy.sampling_rate, policy.max_audio_s
        asked_of = ((example, instructions(EVALUATED_FORMATS, example)) for example in (*spoken, *polar))
        raise_all(list(overflows(policy, asked_of, args.max_new_tokens)))
        lists = (questions, spoken, polar)
        asked, clips, polar_clips = (list(Clips(rows, *limits, False, *form, facts)) for rows in lists)
        print(f"answering {len(asked) + len(clips) + len(polar_clips)} clips with {path}", flush=True)
        of_policy, under = (policy_name(item), policy), {"controllers": controllers[policy_name(item)]}
        if asked:
            how = controls, args.max_new_tokens, accuracy
            choices += [ask(*of_policy, asked, format, *how, **under) for format in args.formats]
        if clips:
            graded = reward, args.max_new_tokens
            under |= {"controls": voice_controls, "reads": policy_name(item) in args.reads}
            found = evaluate_policy(*of_policy, clips, *graded, draws=args.draws, raters=raters, **under)
            if polar_clips:
                words = evaluate_policy(*of_policy, polar_clips, *graded, draws=0, **under)
                found = replace(found, polar=words)
            evaluations.append(found)
    write(evaluations, args.out, choices, notes, official)
    short = summary(json.loads((args.out / "report.json").read_text()), places(args))
    (args.out / SUMMARY).write_text(short, encoding="utf-8")
    print(f"\n{short}", end="", flush=True)
    if args.store:
        from cogrl.callbacks.mlflow_advice import Options, advised, refuse_unusable_file
        from cogrl.callbacks.mlflow_store import absolute_uri, one_at_a_time, prepare

        prepare()  # before MLflow is imported
        from cogrl.evaluate.tracking import log_report

        try:
            refuse_unusable_file(absolute_uri(args.store))
            with one_at_a_time(args.store):
                log_report(args.store, args.out, args.parent_run)
        except Exception as error:  # tracking failure never undoes a result
            hint = advised(error, absolute_uri(args.store), "cogrl", Options("--store", None))
            print(f"the report is in {args.out} but not in MLflow ({args.store}): {hint}")
