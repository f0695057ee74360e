"""`cogrl build responses`: what a text model that reads words and emotion replies, as targets of a manifest.

RE-LLM's expected responses (arXiv:2602.10716, step A): greedy, at most 48 tokens. There a cut reply is kept without an
end token and refusals are dropped; here neither becomes a target, as every target of cogrl ends.
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

_REFUSAL = re.compile(
    r"\bas an? (ai|artificial)\b|\blanguage model\b|\bI(?:'m| am) (?:unable|not able)\b|"
    r"\bI (?:can ?not|can't) (?:help|assist|answer|provide|continue)\b|作为一个(?:AI|人工智能)|语言模型",
    re.IGNORECASE,
)


def add_responses(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("responses", help="targets for a manifest, replied by a model that reads it")
    parser.add_argument("--policy", required=True, help="Hugging Face folder of the model that reads words and emotion")
    parser.add_argument("--manifest", type=Path, required=True, help="lines with text and emotion")
    parser.add_argument("--out", type=Path, required=True, help="the same lines with its replies as targets")
    parser.add_argument("--format", default="direct", help="in which it is asked (default: %(default)s)")
    parser.add_argument(
        "--max-new-tokens", type=int, default=48, help="a longer reply is left out (default: %(default)s)"
    )
    parser.add_argument("--dtype", default="float32", help="of the weights (default: %(default)s)")
    parser.set_defaults(build=responses)


def responses(options: argparse.Namespace) -> None:
    """Prints how many lines got a target and why others got none; the latter are in `<out>.rejected.jsonl`.

    Raises ValueError for an output that would replace the manifest, for a line without words or emotion, for dialogues,
    and where no line got a target.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    from cogrl.data.errors import raise_all
    from cogrl.data.manifest import read_manifest, write_manifest
    from cogrl.models.saved import refuse_no_policy, saved_policy

    disable_progress_bar()
    refuse_no_policy(options.policy)
    if options.out.resolve() == options.manifest.resolve():
        raise ValueError(f"--out {options.out} would replace the manifest; give another file")
    examples = read_manifest(options.manifest)
    reasons = [(e, unusable(e)) for e in examples]
    raise_all([f"{e.where} ({e.id}): {reason}" for e, reason in reasons if reason])
    policy = saved_policy(options.policy, options.dtype)
    policy.to("cuda" if torch.cuda.is_available() else "cpu")
    replied = replies(policy, examples, options.format, options.max_new_tokens)
    kept, rejected = [], []
    for example, (text, reason) in zip(examples, replied, strict=True):
        if reason:
            rejected.append({"id": example.id, "where": example.where, "reason": reason, "reply": text})
        else:
            kept.append(replace(example, targets={options.format: text}))
    if not kept:
        raise ValueError(
            f"{options.policy} left no usable reply to {len(examples)} lines, such as {rejected[0]['reply']!r}: "
            f"{rejected[0]['reason']}; train it to read first, or raise --max-new-tokens"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in rejected]
    options.out.with_name(f"{options.out.name}.rejected.jsonl").write_text("".join(lines), encoding="utf-8")
    write_manifest(options.out, kept)
    distinct = len({example.targets[options.format] for example in kept})
    print(f"{options.out}: {len(kept)} lines with {distinct} different replies, {len(rejected)} left out")


def unusable(example: Any) -> str | None:
    """Why there is nothing to reply to; None where there is."""
    if example.turns:
        return "a dialogue; replies are made to single turns"
    if not example.text or example.emotion is None:
        return "no text or no emotion to read; add it to this line or leave the line out"
    return None


def replies(
    policy: Any, examples: Sequence[Any], format: str, max_new_tokens: int, batch_size: int = 64
) -> list[tuple[str, str | None]]:
    """Of each line the greedy reply of a model that reads its description, and why it is no target (None: it is one).

    Lines of the same description are asked once.
    """
    import numpy as np

    from cogrl.formats import format_named
    from cogrl.model_input import teacher_input
    from cogrl.progress import progress
    from cogrl.rollout.hf import HFEngine
    from cogrl.rollout.sampling import Sampling
    from cogrl.types import Clip

    clips = [Clip(example, np.zeros(0, np.float32)) for example in examples]  # read, not heard
    inputs = [teacher_input(clip) for clip in clips]
    first = {given: i for i, given in reversed(list(enumerate(inputs)))}
    unique, sampling, engine = sorted(first.values()), Sampling(max_new_tokens=max_new_tokens, greedy=True), HFEngine()
    grammar, said = format_named(format), {}
    policy.eval()
    with progress(desc="replies", total=len(unique), unit="reply") as bar:
        for start in range(0, len(unique), batch_size):
            rows = unique[start : start + batch_size]
            batch, given = [clips[i] for i in rows], [inputs[i] for i in rows]
            rollouts = engine.sample(policy, batch, [format] * len(rows), sampling, inputs=given)
            for row, text, finish in zip(rows, rollouts.texts, rollouts.finish, strict=True):
                said[row] = (text, wrong(text, finish, grammar))
            bar.update(len(rows))
    return [said[first[given]] for given in inputs]


def wrong(text: str, finish: str, grammar: Any) -> str | None:
    """Why a reply is no target."""
    if finish != "end":
        return "cut before it ended"
    if grammar.parse(text) is None:
        return f"not well formed in format {grammar.name}"
    return "a refusal" if _REFUSAL.search(text) else None
