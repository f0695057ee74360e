"""Which emotion does a policy find most likely as the first word of its thought? Seven scores a clip, nothing sampled.

python experiments/whisper_smollm/labels.py POLICY data/lime-mini/test.jsonl --cells 9
"""

import argparse
import random
from collections import Counter

import torch

from cogrl.audio import load_audio
from cogrl.data.manifest import read_manifest
from cogrl.evaluate.stats import bootstrap_mean
from cogrl.formats.eips import EIPS
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.types import EMOTIONS

LABELS = [f"<thought>\n[Perception] {emotion}," for emotion in EMOTIONS]


@torch.no_grad()
def scores(policy, example, waveform):
    """Log-probability of each label."""
    prompts = policy.encode_prompts([EIPS.instruction(example)], [waveform], [example.id])
    answers = policy.encode_targets(LABELS)
    logprobs = policy.token_logprobs(prompts, answers, group_size=len(LABELS)).logprobs
    ends = answers.mask.sum(1, keepdim=True) - 1  # the end token is no part of the label
    return logprobs.scatter(1, ends, 0.0).sum(1)


def report(name, examples, found):
    said = [EMOTIONS[i] for i in found.argmax(1).tolist()]
    hits = [label == e.emotion for label, e in zip(said, examples, strict=True)]
    share = bootstrap_mean(hits, [(e.speaker, e.text_group) for e in examples])
    figures = f"{100 * share.mean:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}] of {len(hits)} clips"
    print(f"{name}: {figures}; says {dict(Counter(said).most_common())}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("policy")
    parser.add_argument("manifest")
    parser.add_argument("--cells", type=int, default=9, help="pairs of speaker and sentence, each with all emotions")
    options = parser.parse_args()
    policy = Qwen2Audio(options.policy).load().eval()
    examples = [e for e in read_manifest(options.manifest) if e.intensity in ("mid", None)]
    cells = sorted({(e.speaker, e.text_group) for e in examples})
    cells = random.Random(0).sample(cells, options.cells)
    examples = [e for e in examples if (e.speaker, e.text_group) in cells]
    with_audio = torch.stack([scores(policy, e, load_audio(e.audio, name=e.id)) for e in examples])
    report("voice", examples, with_audio)
    report("voice, less each label's mean score over these clips", examples, with_audio - with_audio.mean(0))
    report("text only", examples, torch.stack([scores(policy, e, e.text) for e in examples]))


if __name__ == "__main__":
    main()
