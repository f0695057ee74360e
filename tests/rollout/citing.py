"""A policy that writes what it is told: its own distribution decides nothing but the log-probabilities."""

import torch

from cogrl.rollout import Controller, HFEngine, Sampling


class Writes(Controller):
    """Every completion draws these ids, one list a row, and then its end token where the list has one.

    The logits of the token to draw are raised by so much that nothing else is drawn, unless `free`: then the row draws
    what it likes. With `bends` the rows say so, and what they draw does not train.
    """

    def __init__(self, scripts, bends=True):
        self.scripts, self.bends = scripts, bends

    def begin(self, policy, inputs, group_size):
        self.drawn = torch.zeros(len(inputs) * group_size, dtype=torch.long)

    def adjust(self, logits, rows):
        logits, bent = logits.clone(), torch.zeros(len(rows), dtype=torch.bool)
        for i, row in enumerate(rows.tolist()):
            script, place = self.scripts[row], int(self.drawn[row])
            if place < len(script):
                logits[i, script[place]] += 1e4
                bent[i] = self.bends
        self.drawn[rows] += 1
        return logits, bent


def ids_of(policy, text):
    return policy.tokenizer(text, add_special_tokens=False).input_ids


def written(policy, clips, texts, *controllers, group_size=1, after=0, ending=False, bends=True, **settings):
    """Completions that are these texts, one a row, and `after` more tokens of the policy's own."""
    end = [policy.end_ids[0]] if ending else []
    scripts = [[*(ids_of(policy, text) if isinstance(text, str) else text), *end] for text in texts]
    longest = max(map(len, scripts)) + after
    sampling = Sampling(max_new_tokens=longest)
    return HFEngine().sample(
        policy,
        clips,
        ["eips"] * len(clips),
        sampling,
        group_size,
        controllers=[Writes(scripts, bends), *controllers],
        generator=torch.Generator().manual_seed(0),
        **settings,
    )
