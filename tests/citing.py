"""Completions that write what they are told, and the policy's own words in between."""

from itertools import chain

import torch

from cogrl.rollout import Controller, HFEngine, Sampling


class Writes(Controller):
    """Every completion draws its own script: an id, or None for whatever the policy likes, which is also what follows.

    What is told has the role BENT: it is part of the text and does not train. The end tokens are only drawn when told,
    unless the completions `may_end` by themselves.
    """

    def __init__(self, scripts, may_end=False):
        self.scripts, self.may_end = scripts, may_end

    def begin(self, policy, inputs, group_size):
        self.ends = torch.tensor([] if self.may_end else policy.end_ids, dtype=torch.long)
        self.drawn = torch.zeros(len(inputs) * group_size, dtype=torch.long)

    def adjust(self, logits, rows):
        logits, scripted = logits.index_fill(1, self.ends, -torch.inf), torch.zeros(len(rows), dtype=torch.bool)
        for i, row in enumerate(rows.tolist()):
            rest = self.scripts[row][int(self.drawn[row]) :]
            if rest and rest[0] is not None:
                logits[i] = -torch.inf
                logits[i, rest[0]] = 0.0
                scripted[i] = True
        self.drawn[rows] += 1
        return logits, scripted


def ids_of(policy, text):
    return policy.tokenizer(text, add_special_tokens=False).input_ids


def script_of(policy, parts):
    """A text, or texts and numbers of tokens of the policy's own; `END` for the end token."""
    parts = [parts] if isinstance(parts, str) else parts
    spelled = ([None] * part if isinstance(part, int) else ids_of(policy, part) for part in parts if part != END)
    return [*chain(*spelled), *([policy.end_ids[0]] if END in parts else [])]


END = "(end)"


def written(
    policy, clips, parts, *controllers, group_size=1, inputs=None, longer=0, format="eips", may_end=False, **how
):
    """Rollouts under `Writes` and these controllers, one script a completion; they are as long as the longest."""
    scripts = [script_of(policy, row) for row in parts]
    sampling = Sampling(max_new_tokens=max(map(len, scripts)) + longer, **how)
    return HFEngine().sample(
        policy,
        clips,
        [format] * len(clips),
        sampling,
        group_size,
        inputs=inputs,
        generator=torch.Generator().manual_seed(0),
        controllers=[Writes(scripts, may_end), *controllers],
    )
