"""`cogrl humdial`: answer and judge dialogues of the challenge's track 1, and work out its final score."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="{run,judge,final}", required=True)
    run = actions.add_parser("run", help="answer all three tasks of the test with a policy, judge them, score")
    run.add_argument("raw", type=Path, help="the challenge's folder, with HD-Track1-Test/{zh,en}/HD-Track1-T{1,2,3}")
    run.add_argument("--policy", required=True, help="Hugging Face folder")
    run.add_argument("--out", type=Path, required=True, help="folder for the answers, the judge's scores, final.json")
    run.add_argument("--format", default="direct", help="how turns are answered (default: %(default)s), such as ieat")
    run.add_argument("--max-new-tokens", type=int, default=256, help="longest reply (default: %(default)s)")
    run.add_argument("--dtype", default="float32", help="of the weights (default: %(default)s)")
    run.add_argument("--convert", action="store_true", help="mix down and resample recordings as the policy needs")
    _add_judge(run)
    run.set_defaults(action=run_all)
    judge = actions.add_parser("judge", help="have a judge model score the responses of one task and language")
    judge.add_argument("dialogues", type=Path, help="JSONL, one dialogue a line, `response_text` in each turn")
    judge.add_argument("--task", type=int, choices=(1, 2, 3), required=True)
    judge.add_argument("--language", choices=("zh", "en"), help="of all dialogues (default: each user's own)")
    judge.add_argument(
        "--out", type=Path, required=True, help="JSON with means, intervals and the scores of each dialogue"
    )
    _add_judge(judge)
    judge.set_defaults(action=run_judge)
    final = actions.add_parser("final", help="the score that ranks, from five figures a language")
    for language in ("zh", "en"):
        names = ("T1", "T2", "D1", "D2", "D3")
        final.add_argument(f"--{language}", type=float, nargs=5, metavar=names, required=True)
    final.set_defaults(action=run_final)


def _add_judge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base-url", required=True, help="OpenAI-compatible server, such as http://127.0.0.1:8000/v1")
    parser.add_argument("--model", help="name of the judge (default: the challenge's)")
    parser.add_argument("--api-key-env", help="environment variable that holds the key")
    parser.add_argument(
        "--target", choices=("second", "last"), default="second", help="which non-neutral turn (task 3)"
    )
    parser.add_argument("--template", type=Path, help="the organisers' prompt file, in place of our wording")
    parser.add_argument("--attempts", type=int, default=3, help="how often an unreadable answer is asked for")


def main(options: argparse.Namespace) -> int:
    options.action(options)
    return 0


def run_all(options: argparse.Namespace) -> None:
    import torch
    from transformers.utils.logging import disable_progress_bar

    from cogrl.cli.out_folder import make_out_folder
    from cogrl.data.corpora.humdial import CODES, challenge_dialogues
    from cogrl.evaluate.humdial import TASKS
    from cogrl.evaluate.humdial_answers import answered, write_answers
    from cogrl.models.saved import refuse_no_policy, saved_policy

    disable_progress_bar()
    if options.template:
        raise ValueError("--template is one task's; judge its file alone: cogrl humdial judge --task N --template FILE")
    refuse_no_policy(options.policy)
    lists = {(code, n): challenge_dialogues(options.raw, code, n) for code in CODES for n in TASKS}
    make_out_folder(options.out)
    policy = saved_policy(options.policy, options.dtype)
    policy.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    how = {"format": options.format, "target": options.target, "convert": options.convert}
    found: dict[str, dict[int, dict[str, Any]]] = {code: {} for code in CODES}
    for (code, n), dialogues in lists.items():
        print(f"{code} T{n}: {len(dialogues)} dialogues", flush=True)
        replies = answered(policy, TASKS[n], dialogues, max_new_tokens=options.max_new_tokens, **how)
        answers = options.out / f"{code}-T{n}.jsonl"
        write_answers(answers, dialogues, replies)
        found[code][n] = _judged(answers, n, code, options.out / f"{code}-T{n}.scores.json", options)
    _write_final(found, options.out / "final.json")


def run_judge(options: argparse.Namespace) -> None:
    _judged(options.dialogues, options.task, options.language, options.out, options)


def _judged(file: Path, number: int, language: str | None, out: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Judges a file of answers; prints and writes what was found. Raises ConnectionError where nothing was judged."""
    from cogrl.evaluate.humdial import TASKS, read_dialogues
    from cogrl.evaluate.humdial_judge import JudgeSettings, judge_dialogues, over_http, summary

    if options.template and not options.template.is_file():
        raise FileNotFoundError(f"--template {options.template}: no such file; leave it out to use our own wording")
    task, dialogues = TASKS[number], read_dialogues(file)
    template = options.template.read_text(encoding="utf-8") if options.template else None
    settings = JudgeSettings(**({"model": options.model} if options.model else {}))
    ask = over_http(options.base_url, options.api_key_env)
    judged = judge_dialogues(task, dialogues, ask, settings, language, options.target, options.attempts, template)
    found = summary(task, judged)
    record = found | {"settings": asdict(settings), "target": options.target, "judged": [vars(one) for one in judged]}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, value in found["dimensions"].items():
        print(f"{name}: " + ("{mean:.2f} [{low:.2f}, {high:.2f}], n = {n}".format(**value) if value else "no scores"))
    if judged and all(one.reason.startswith("failed") for one in judged):
        raise ConnectionError(f"no dialogue could be judged; the first one {judged[0].reason}")
    print(f"dialogues: {', '.join(f'{n} {kind}' for kind, n in found['dialogues'].items())}; written to {out}")
    return found


def _write_final(found: Mapping[str, Mapping[int, Mapping[str, Any]]], out: Path) -> None:
    """The five figures of each language and, where none is missing, the score that ranks."""
    figures = {code: _five(tasks) for code, tasks in found.items()}
    lacking = [f"{code} {name}" for code, five in figures.items() for name, value in five.items() if value is None]
    out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for code, five in figures.items():
        print(f"{code}: " + ", ".join(f"{name} {'-' if v is None else format(v, '.2f')}" for name, v in five.items()))
    if lacking:
        print(f"no final score: {', '.join(lacking)} missing (D2 and D3 are of replies that are heard); see {out}")
    else:
        _print_final(*(list(figures[code].values()) for code in ("zh", "en")))


def _five(tasks: Mapping[int, Mapping[str, Any]]) -> dict[str, float | None]:
    of_task_3 = [value and value["mean"] for value in tasks[3]["dimensions"].values()]
    averages = tasks[1]["average"], tasks[2]["average"]
    return dict(zip(("T1", "T2", "D1", "D2", "D3"), (*averages, *of_task_3), strict=True))


def run_final(options: argparse.Namespace) -> None:
    _print_final(options.zh, options.en)


def _print_final(*figures: Sequence[float]) -> None:
    """zh, en: the five figures of each."""
    from cogrl.evaluate.humdial import final, final_language

    zh, en = (final_language(*five) for five in figures)
    print(f"zh {zh:.2f}, en {en:.2f}, final {final(zh, en):.2f}")
