"""`cogrl humdial`: answer and judge dialogues of the challenge's track 1, and work out its final score."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cogrl.cli.speaking import add_speech_settings, refuse_silent, speaking_of


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
    run.add_argument(
        "--speak",
        action="store_true",
        help="speak the judged replies of task 3, so that the judge hears them: D2, D3 and the final score; the policy "
        "needs a Speak branch (docs/speech.md)",
    )
    add_speech_settings(run)
    _add_judge(run)
    run.set_defaults(action=run_all)
    judge = actions.add_parser("judge", help="have a judge model score the responses of one task and language")
    judge.add_argument(
        "dialogues",
        type=Path,
        help="JSONL, one dialogue a line, `response_text` in each turn, and `response_audio` where it was spoken",
    )
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
    parser.add_argument(
        "--emotion-encoder",
        type=Path,
        metavar="DIR",
        help="a listener that measures D2 of spoken replies beside the judge (task 3): build emotion-encoder",
    )
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
    if options.emotion_encoder and not options.speak:
        raise ValueError("--emotion-encoder listens to spoken replies; add --speak, or leave it out")
    refuse_no_policy(options.policy)
    if options.speak:
        refuse_silent(options.policy)
    lists = {(code, n): challenge_dialogues(options.raw, code, n) for code in CODES for n in TASKS}
    listener = _listener(options)
    make_out_folder(options.out)
    policy = saved_policy(options.policy, options.dtype)
    policy.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    how = {"format": options.format, "target": options.target, "convert": options.convert}
    how |= {"max_new_tokens": options.max_new_tokens, "seed": options.speech_seed}
    found: dict[str, dict[int, dict[str, Any]]] = {code: {} for code in CODES}
    # task 3 first: what can not be spoken shows at once, and not behind two tasks of answers
    for code, n in sorted(lists, key=lambda key: -key[1]):
        dialogues = lists[code, n]
        print(f"{code} T{n}: {len(dialogues)} dialogues", flush=True)
        aloud = n == 3 and options.speak
        replies = answered(policy, TASKS[n], dialogues, **how, speaking=speaking_of(options, policy) if aloud else None)
        answers = options.out / f"{code}-T{n}.jsonl"
        write_answers(answers, dialogues, replies)
        cut = sum(not reply.finished for said in replies for reply in said)
        if cut:
            print(f"{cut} spoken replies are cut at --max-speech-s {options.max_speech_s:g}", flush=True)
        scores = options.out / f"{code}-T{n}.scores.json"
        found[code][n] = _judged(answers, n, code, scores, options, listener if aloud else None)
    _write_final(found, options.out / "final.json")


def run_judge(options: argparse.Namespace) -> None:
    if options.emotion_encoder:
        _refuse_unspoken(options)
    _judged(options.dialogues, options.task, options.language, options.out, options, _listener(options))


def _refuse_unspoken(options: argparse.Namespace) -> None:
    """ValueError for answers without one that a listener could hear."""
    from cogrl.evaluate.humdial import TASKS, read_dialogues

    dialogues = read_dialogues(options.dialogues)
    places = (TASKS[options.task].judged_turn(dialogue.emotions, options.target) for dialogue in dialogues)
    judged = (dialogue.turns[at] for dialogue, at in zip(dialogues, places, strict=True) if at is not None)
    if options.task != 3 or not any(turn.audio for turn in judged):
        raise ValueError(
            f"--emotion-encoder listens to the judged replies of task 3, and {options.dialogues}, judged as task "
            f"{options.task}, names no file of one; name them in `response_audio`, or leave --emotion-encoder out"
        )


def _listener(options: argparse.Namespace) -> Callable[..., dict[str, Any]] | None:
    """What measures D2 of a task's dialogues in a language; None without an emotion encoder, which else is read here.

    Raises what `read_listener` does.
    """
    if not options.emotion_encoder:
        return None
    from cogrl.evaluate.humdial_voice import congruence, congruence_summary
    from cogrl.rewards.spoken_emotion import read_listener

    encoder = read_listener(str(options.emotion_encoder))

    def measure(*task_dialogues_language: Any) -> dict[str, Any]:
        found = congruence(encoder, *task_dialogues_language, options.target)
        return {"encoder": str(options.emotion_encoder)} | congruence_summary(found)

    return measure


def _judged(
    file: Path, number: int, language: str | None, out: Path, options: argparse.Namespace, listener: Callable | None
) -> dict[str, Any]:
    """Judges a file of answers; prints and writes what was found. Raises ConnectionError where nothing was judged."""
    from cogrl.evaluate.humdial import TASKS, read_dialogues
    from cogrl.evaluate.humdial_final import AUDIO_JUDGE
    from cogrl.evaluate.humdial_judge import JudgeSettings, judge_dialogues, over_http, summary

    if options.template and not options.template.is_file():
        raise FileNotFoundError(f"--template {options.template}: no such file; leave it out to use our own wording")
    task, dialogues = TASKS[number], read_dialogues(file)
    template = options.template.read_text(encoding="utf-8") if options.template else None
    settings = JudgeSettings(**({"model": options.model} if options.model else {}))
    ask = over_http(options.base_url, options.api_key_env)
    measured = {"listener": listener(task, dialogues, language)} if listener else {}
    judged = judge_dialogues(task, dialogues, ask, settings, language, options.target, options.attempts, template)
    found = summary(task, judged)
    voice = [name for name in task.of_voice if found["dimensions"][name]]
    found |= ({"voice": AUDIO_JUDGE} if voice else {}) | measured
    record = found | {"settings": asdict(settings), "target": options.target, "judged": [vars(one) for one in judged]}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, value in found["dimensions"].items():
        print(f"{name}: {_figure(value)}" + (f" ({AUDIO_JUDGE})" if name in voice else ""))
    for one in measured.values():
        print(f"D2, listener: {_figure(one['D2'])} ({one['rule']})")
    if judged and all(one.reason.startswith("failed") for one in judged):
        raise ConnectionError(f"no dialogue could be judged; the first one {judged[0].reason}")
    print(f"dialogues: {', '.join(f'{n} {kind}' for kind, n in found['dialogues'].items())}; written to {out}")
    return found


def _figure(value: dict[str, Any] | None) -> str:
    return "{mean:.2f} [{low:.2f}, {high:.2f}], n = {n}".format(**value) if value else "no scores"


def _write_final(found: dict[str, dict[int, dict[str, Any]]], out: Path) -> None:
    """The five figures of each language and, where none is missing, the score that ranks."""
    from cogrl.evaluate.humdial_final import AUDIO_JUDGE, FIGURES, final_record

    record = final_record(found)
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for code in found:
        shown = (f"{name} {'-' if v is None else format(v, '.2f')}" for name, v in record[code].items())
        print(f"{code}: " + ", ".join(shown))
    if "final" in record:
        print(f"final {record['final']:.2f} (D2 and D3 {AUDIO_JUDGE})")
    else:
        lacking = ", ".join(f"{code} {name}" for code in found for name in FIGURES if record[code][name] is None)
        print(f"no final score: {lacking} missing (D2 and D3 are of replies that are heard: --speak); see {out}")
    if "final_listener" in record:
        print(f"final {record['final_listener']:.2f} with the listener's D2 in the place of the judge's")


def run_final(options: argparse.Namespace) -> None:
    _print_final(options.zh, options.en)


def _print_final(*figures: Sequence[float]) -> None:
    """zh, en: the five figures of each."""
    from cogrl.evaluate.humdial import final, final_language

    zh, en = (final_language(*five) for five in figures)
    print(f"zh {zh:.2f}, en {en:.2f}, final {final(zh, en):.2f}")
