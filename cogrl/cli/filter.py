"""`cogrl filter`: the questions of a manifest that a policy can learn from."""

import argparse
import json
from pathlib import Path

from cogrl.cli.open_answers import accuracy_of, add_open_rule


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Keep questions that a policy answers right sometimes, and those it gets wrong on silence."
    parser.add_argument("--policy", required=True, metavar="DIR", help="Hugging Face folder")
    parser.add_argument("--data", type=Path, required=True, help="JSONL manifest of questions with answers")
    parser.add_argument("--out", type=Path, required=True, help="manifest to write; the report is <out>.report.json")
    parser.add_argument("--pass-at-k", type=int, metavar="K", help="sample K answers a question; keep by --min, --max")
    parser.add_argument("--min", type=int, default=1, help="fewest right ones of K (default: %(default)s)")
    parser.add_argument("--max", type=int, help="most right ones of K (default: K - 1)")
    parser.add_argument(
        "--wrong-on-silence", action="store_true", help="leave out what a greedy answer to silence gets right"
    )
    parser.add_argument(
        "--audio-contribution",
        action="store_true",
        help="keep what a greedy answer gets right with the audio, and wrong on silence",
    )
    parser.add_argument("--format", default="choice", help="how a question is asked (default: %(default)s)")
    add_open_rule(parser)
    parser.add_argument("--temperature", type=float, default=1.0, help="of sampled answers (default: %(default)s)")
    parser.add_argument("--max-new-tokens", type=int, default=128, help="longest answer (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws the answers (default: %(default)s)")
    parser.add_argument("--convert", action="store_true", help="mix down and resample clips to what the policy needs")
    parser.add_argument("--history", choices=["heard", "left_out"], help="the earlier turns of dialogues")
    parser.add_argument("--dtype", default="float32", help="of the weights (default: %(default)s)")


def main(args: argparse.Namespace) -> None:
    import torch
    from transformers.utils.logging import disable_progress_bar

    from cogrl.cli.audio_lengths import check_audio_lengths
    from cogrl.data.clips import Clips
    from cogrl.data.manifest import read_manifest, with_history, write_manifest
    from cogrl.evaluate.choice.select import Window, select
    from cogrl.models.saved import refuse_no_policy, saved_policy
    from cogrl.rollout.sampling import Sampling

    disable_progress_bar()
    wrong_on_silence = args.wrong_on_silence or args.audio_contribution
    if args.pass_at_k is None and not wrong_on_silence:
        raise ValueError(
            "nothing to filter by; give --pass-at-k 8, --wrong-on-silence, or both, or --audio-contribution"
        )
    most = args.max if args.max is not None or args.pass_at_k is None else args.pass_at_k - 1
    window = None if args.pass_at_k is None else Window(args.pass_at_k, args.min, most)
    sampling = Sampling(args.temperature, args.max_new_tokens)
    refuse_no_policy(args.policy)
    examples = with_history(read_manifest(args.data), args.history)
    facts = check_audio_lengths(examples, [args.policy], args.convert, "refuse")
    policy = saved_policy(args.policy, args.dtype)
    policy.to("cuda" if torch.cuda.is_available() else "cpu")
    limits = policy.sampling_rate, policy.max_audio_s
    clips = list(Clips(examples, *limits, False, args.convert, "refuse", facts))
    rule = accuracy_of(args)
    found = select(
        policy, clips, window, wrong_on_silence, sampling, args.seed, rule, args.audio_contribution, args.format
    )
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    report = args.out.with_name(f"{args.out.name}.report.json")
    report.write_text(json.dumps({"settings": asked, **found.report()}, ensure_ascii=False, indent=1) + "\n")
    if not found.kept:
        raise ValueError(f"none of {len(examples)} questions is left; {report} says why: widen the window")
    kept = {example.id for example in found.kept}
    write_manifest(args.out, [example for example in read_manifest(args.data) if example.id in kept])
    print(f"{args.out}: {len(kept)} of {len(examples)} questions kept; counts by task in {report}")
