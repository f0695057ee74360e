"""A tiny policy that cites segments of its clip by its weights alone, so that a server can draw from it."""

from pathlib import Path

import torch

from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.tiny import build_tiny_model

FOLLOWS = {
    "\n": "<seg>0, 1</seg>",  # the last token of a prompt
    "<seg>0, 1</seg>": " it",
    " it": "<seg>2, 1</seg>",
    "<|audio_eos|>": "<seg>",  # behind what is inserted
    "<seg>": "0.2, 0.45",
    "0.2, 0.45": "</seg> so",
    "</seg> so": "<seg>1.5, 2.5</seg>",
    "<seg>1.5, 2.5</seg>": "</seg>",
    "</seg>": "<|im_end|>",
}
"""All that it writes, whole citations and pieces of one, and what it writes first behind each."""


def build_citing_policy(out: Path, texts: list[str], **sizes: int) -> None:
    """Writes its folder. What it has read decides how likely each of the words is; behind some one is the likeliest.

    The biases of an attention's values come through it as they are, whatever is read: where they come out, there lie
    the words' rows of the output layer, and by a part in the direction of the token that they follow.
    """
    build_tiny_model(out, [*texts, "<seg></seg>"], **sizes)
    policy = Qwen2Audio(str(out)).load()
    tokenizer, words = policy.tokenizer, list(dict.fromkeys(FOLLOWS.values()))
    tokenizer.add_tokens([word for word in words if word not in tokenizer.get_vocab()])
    policy.model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part, factor in ((policy.decoder, 8), *((part, 6) for part in policy.audio_modules)):
            for name, parameter in part.named_parameters():
                if name.endswith("weight") and parameter.ndim > 1 and "embed" not in name:
                    parameter.mul_(factor)
        embeds = policy.embed.weight.normal_(0, 0.8, generator=generator)
        attention = policy.decoder.layers[-1].self_attn
        values = attention.v_proj.bias.normal_(0, 2.0, generator=generator)
        shared = attention.num_key_value_groups  # so many heads read the same values
        always = attention.o_proj(values.view(-1, attention.head_dim).repeat_interleave(shared, 0).flatten())
        head = policy.lm_head_weight.normal_(0, 0.15, generator=generator)
        head[tokenizer.convert_tokens_to_ids(words)] += 3.0 * always / always.norm()
        for before, word in FOLLOWS.items():
            last = embeds[tokenizer(before, add_special_tokens=False).input_ids[-1]]
            head[tokenizer.convert_tokens_to_ids(word)] += 2.0 * last / last.norm()
    policy.save(out)
