"""`cogrl humdial`: judge dialogues of the challenge's track 1, and work out its final score."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="{judge,final}", required=True)
    judge = actions.add_parser("judge", help="have a judge model score the responses of one task and language")
    judge.add_argument("dialogues", type=Path, help="JSONL, one dialogue a line, `response_text` in each turn")
    judge.add_argument("--task", type=int, choices=(1, 2, 3), required=True)
    judge.add_argument("--base-url", required=True, help="OpenAI-compatible server, such as http://127.0.0.1:8000/v1")
    judge.add_argument(
        "--out", type=Path, required=True, help="JSON with means, intervals and the scores of each dialogue"
    )
    judge.add_argument("--model", help="name of the judge (default: the challenge's)")
    judge.add_argument("--api-key-env", help="environment variable that holds the key")
    judge.add_argument("--language", choices=("zh", "en"), help="of all dialogues (default: each user's own)")
    judge.add_argument("--target", choices=("second", "last"), default="second", help="which non-neutral turn (task 3)")
    judge.add_argument("--template", type=Path, help="the organisers' prompt file, in place of our wording")
    judge.add_argument("--attempts", type=int, default=3, help="how often an unreadable answer is asked for")
    judge.set_defaults(action=run_judge)
    final = actions.add_parser("final", help="the score that ranks, from five figures a language")
    for language in ("zh", "en"):
        names = ("T1", "T2", "D1", "D2", "D3")
        final.add_argument(f"--{language}", type=float, nargs=5, metavar=names, required=True)
    final.set_defaults(action=run_final)


def main(options: argparse.Namespace) -> int:
    options.action(options)
    return 0


def run_judge(options: argparse.Namespace) -> None:
    from cogrl.evaluate.humdial import TASKS, read_dialogues
    from cogrl.evaluate.humdial_judge import JudgeSettings, judge_dialogues, over_http, summary

    if options.template and not options.template.is_file():
        raise FileNotFoundError(f"--template {options.template}: no such file; leave it out to use our own wording")
    task, dialogues = TASKS[options.task], read_dialogues(options.dialogues)
    template = options.template.read_text(encoding="utf-8") if options.template else None
    settings = JudgeSettings(**({"model": options.model} if options.model else {}))
    ask = over_http(options.base_url, options.api_key_env)
    judged = judge_dialogues(
        task, dialogues, ask, settings, options.language, options.target, options.attempts, template
    )
    found = summary(task, judged)
    record = found | {"settings": asdict(settings), "target": options.target, "judged": [vars(one) for one in judged]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, value in found["dimensions"].items():
        print(f"{name}: " + ("{mean:.2f} [{low:.2f}, {high:.2f}], n = {n}".format(**value) if value else "no scores"))
    if judged and all(one.reason.startswith("failed") for one in judged):
        raise ConnectionError(f"no dialogue could be judged; the first one {judged[0].reason}")
    print(f"dialogues: {', '.join(f'{n} {kind}' for kind, n in found['dialogues'].items())}; written to {options.out}")


def run_final(options: argparse.Namespace) -> None:
    from cogrl.evaluate.humdial import final, final_language

    zh, en = final_language(*options.zh), final_language(*options.en)
    print(f"zh {zh:.2f}, en {en:.2f}, final {final(zh, en):.2f}")
