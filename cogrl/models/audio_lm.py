"""The contract every audio language model fulfils, and what all Hugging Face families share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cogrl.audio import to_seconds
from cogrl.lm_head import (
    LinearPolicyLossOutput,
    PolicyLossConfig,
    TokenLogprobs,
    TokenStates,
    policy_loss,
    token_logprobs,
)
from cogrl.models.audio_window import AudioWindow, read_window
from cogrl.models.chat_prompts import as_conversation, chat_prompts
from cogrl.models.end_tokens import end_tokens
from cogrl.models.folder import read_config, refuse_another_tokenizer, refuse_tokenizer_without_audio
from cogrl.models.lora import Lora
from cogrl.models.parts import Parts
from cogrl.models.pretrained import read_weights, read_whole
from cogrl.models.speak import SpeakBranch, SpeakSettings, refuse_silent_branch
from cogrl.models.token_states import packed_states, repeated_states
from cogrl.types import ClipTensors, Completions, Conversation, ModelInput, Prompts, Role, Rollouts, Waveform


class AudioLM(Parts, ABC):
    """A language model with audio input. Subclasses implement four methods of their family, marked *family* below.

    The weights live in an ordinary Hugging Face folder and are read by `load`, not by the constructor, so that a YAML
    is validated in seconds and a sharding strategy can place the weights.

    Args:
        path: folder written by `save_pretrained` (or by `cogrl build tiny-model`).
        dtype: torch dtype name of the weights; `float32` unless memory forbids it.
        train_audio_tower: False freezes the audio encoder, with adapters also its projector (the papers' setting).
        train_language_model: False freezes the language model and its head: only the audio modules learn.
        lora: low-rank adapters on the language model; None trains all of it.
        load_in_4bit: the frozen language model under `lora` in 4 bits; see `models.four_bit`.
        gradient_checkpointing: recompute activations in the backward pass.
        share_prompt: run the prompt once per group of completions, without padding; False repeats it for each, padded
            (the same values, for comparison).
        head: how log-probabilities are made of hidden states, see `cogrl_kernels.linear_logprob`.
        speech: adds a Speak branch, which speaks replies; see `cogrl.models.speak`. Text is the same with it.

    `load` raises FileNotFoundError when `path` holds no model.
    """

    def __init__(
        self,
        path: str,
        dtype: str = "float32",
        train_audio_tower: bool = True,
        train_language_model: bool = True,
        lora: Lora | None = None,
        load_in_4bit: bool = False,
        gradient_checkpointing: bool = False,
        share_prompt: bool = True,
        head: Literal["auto", "triton", "chunked", "reference"] = "auto",
        speech: SpeakSettings | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(getattr(torch, dtype, None), torch.dtype):
            raise ValueError(f"dtype={dtype!r} is not a torch dtype; use float32, bfloat16 or float16")
        if lora is not None and not train_language_model:
            raise ValueError("policy.lora trains the language model: leave it out, or set train_language_model: true")
        if load_in_4bit and lora is None:
            raise ValueError("policy.load_in_4bit: weights in 4 bits can not train; train adapters (policy.lora)")
        self.path, self.dtype_name, self.load_in_4bit = str(path), dtype, load_in_4bit
        self.train_audio_tower, self.train_language_model = train_audio_tower, train_language_model
        self.lora, self.gradient_checkpointing = lora, gradient_checkpointing
        self.share_prompt, self.head_impl = share_prompt, head
        self.speech = None if speech is None else SpeakBranch(speech)
        self.any_rank: Callable[[bool], bool] = bool  # a strategy that shards the weights asks all ranks

    # ---- family ----
    # optional, for `models.check`: the types its `config.json` may have, and the transformers class it reads
    model_types: tuple[str, ...] = ()
    model_class: type[nn.Module] | None = None
    trust_remote_code = False

    @abstractmethod
    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        """The model and its processor."""

    @abstractmethod
    def audio_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        """The family's input tensors of `c` clips, first axis `c`."""

    @abstractmethod
    def audio_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        """How many placeholders clips of so many samples take in the prompt."""

    # optional: of families that hear more than the encoder's window
    @classmethod
    def window_of(cls, path: str | Path) -> AudioWindow:
        """What the model of a folder hears; no weights are read."""
        return read_window(path)

    def excerpt_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        """Optional: the input tensors of `c` clips that are inserted into completions."""
        return self.audio_tensors(waveforms)

    def excerpt_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        """How many placeholders such clips of so many samples take."""
        return self.audio_token_counts(samples)

    @abstractmethod
    def audio_embeds(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        """The projected frames that the language model reads, right-padded, and how many of each clip are real."""

    # ---- shared ----
    def read_weights(self, model_class: type[nn.Module], dtype: torch.dtype, whole: str = "the model") -> nn.Module:
        """The model in `path`, as `load_in_4bit` says; see `models.pretrained`."""
        return read_weights(self.path, model_class, dtype, whole, self.lora if self.load_in_4bit else None)

    def load(self) -> "AudioLM":
        """Read the weights once; later calls do nothing."""
        if self.model is not None:
            return self
        read_config(self.path)
        if self.speech is None:
            refuse_silent_branch(self.path)
        self.model, self.processor = self.read_folder(self.path, getattr(torch, self.dtype_name))
        refuse_another_tokenizer(self.path, self.tokenizer, self.model.config.get_text_config().vocab_size)
        refuse_tokenizer_without_audio(
            self.path, self.tokenizer, self.processor.audio_token, self.model.config.audio_token_id
        )
        self.window = self.window_of(self.path)
        self.ends = end_tokens(self.processor, self.model.generation_config, self.path)
        self.mark_trained()
        if self.speech is not None:
            self.speech.load(self.path, self.width, getattr(torch, self.dtype_name))
        if self.gradient_checkpointing:
            new_name = getattr(self.model, "activation_checkpointing_enable", None)  # since transformers 5.23
            (new_name or self.model.gradient_checkpointing_enable)({"use_reentrant": False})
        return self

    def mark_trained(self) -> None:
        """Put in the adapters and freeze what is not to train; the weights are not looked at."""
        trained = [p for part in self.audio_modules for p in part.parameters() if p.requires_grad]
        if not self.train_audio_tower:
            self.audio_tower.requires_grad_(False)
        if self.lora is not None:  # later than the tower: what lora.in_full names in it does train
            self.lora.inject(self.model)
            for parameter in trained if self.train_audio_tower else ():
                parameter.requires_grad_(True)  # injection froze all but the adapters
        if not self.train_language_model:
            self.decoder.requires_grad_(False)
            self.model.lm_head.requires_grad_(False)

    def encode_prompts(
        self, instructions: Sequence[str], inputs: Sequence[ModelInput], names: Sequence[str]
    ) -> Prompts:
        """Chat prompts, left-padded, on the model's device; the instruction stands in the turn to answer.

        `inputs` holds a waveform each, or a conversation. A text instead of a waveform is read where the audio would
        stand: the text-only control. `names` label the samples in errors.

        Raises ValueError for a clip longer than `max_audio_s` or shorter than two audio tokens, a prompt longer than
        `max_positions`, and placeholders that are not the encoder's frames. Nothing is cut, nothing is dropped.
        """
        conversations = [as_conversation(item) for item in inputs]
        for conversation, name in zip(conversations, names, strict=True):
            self._check_lengths(conversation, name)
        waveforms = [waveform for conversation in conversations for waveform in conversation.waveforms]
        audio = self.audio_tensors(waveforms) if waveforms else {}
        counts = iter(self.audio_token_counts(torch.tensor(list(map(len, waveforms)), dtype=torch.long)).tolist())
        clip_tokens = [[next(counts) for _ in conversation.waveforms] for conversation in conversations]
        tokens = chat_prompts(self.processor, self.audio_token_id, instructions, conversations, clip_tokens, names)
        for name, length in zip(names, tokens.attention_mask.sum(1).tolist(), strict=True):
            if length > self.max_positions:
                raise ValueError(f"{name}: a prompt of {length} tokens; this model has {self.max_positions} positions")
        tokens, audio = tokens.to(self.device), {name: value.to(self.device) for name, value in audio.items()}
        return Prompts(tokens.input_ids, tokens.attention_mask, audio, tuple(len(clips) for clips in clip_tokens))

    def encode_targets(self, texts: Sequence[str]) -> Completions:
        """Given completions with the token that ends a turn, right-padded; the mask covers both."""
        settings = {"padding": True, "padding_side": "right", "add_special_tokens": False, "return_tensors": "pt"}
        tokens = self.tokenizer([text + self.ends.turn for text in texts], **settings)
        return Completions.from_mask(tokens.input_ids, tokens.attention_mask.bool()).to(self.device)

    def prompt_embeds(self, prompts: Prompts) -> Float[Tensor, "p s d"]:
        """Token embeddings with the audio frames in place of the placeholders; each clip is encoded once.

        Raises ValueError when a prompt has not as many placeholders as its clips have frames.
        """
        where = prompts.input_ids == self.audio_token_id
        return self.embeds_with_audio(prompts.input_ids, where, prompts.audio, prompts.clip_counts)

    def embeds_with_audio(
        self, ids: Int[Tensor, "r n"], is_audio: Bool[Tensor, "r n"], audio: ClipTensors, clip_counts: Sequence[int]
    ) -> Float[Tensor, "r n d"]:
        """Embeddings of `ids`, the frames of each row's clips in place of its placeholders, where `is_audio`."""
        embeds = self.embed(ids)
        if not audio:
            return embeds
        frames = self.frames_in_order(audio, clip_counts, is_audio.sum(1))
        return embeds.masked_scatter(is_audio[..., None], frames.to(embeds.dtype))

    def frames_in_order(
        self, audio: ClipTensors, clip_counts: Sequence[int], placeholders: Int[Tensor, " r"]
    ) -> Float[Tensor, "n d"]:
        """The frames of all clips, one after another, without padding; each clip is encoded once.

        Raises ValueError when a row has not as many placeholders as its clips have frames.
        """
        frames, lengths = self.audio_embeds(audio)
        own = torch.stack([clips.sum() for clips in lengths.split(list(clip_counts))])
        if (placeholders.to(own.device) != own).any():
            raise ValueError(
                f"{own.tolist()} audio frames for {placeholders.tolist()} placeholders: these are other rows' clips"
            )
        return frames[torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]]

    def silent_frames(self) -> Float[Tensor, "c f d"]:
        """The frames of a second of silence, as inserted clips are read."""
        audio = self.excerpt_tensors([np.zeros(self.sampling_rate, np.float32)])
        return self.audio_embeds({name: value.to(self.device) for name, value in audio.items()})[0]

    def token_states(
        self,
        prompts: Prompts,
        completions: Completions,
        group_size: int = 1,
        embeds: Float[Tensor, "p s d"] | None = None,
    ) -> TokenStates:
        """Hidden states and which of them predicts each masked-in completion token. No logits are made.

        The audio tower runs once per prompt, and so does the prompt itself unless `share_prompt` is off; it also runs
        for the clips that controllers inserted, which only their own row attends to. Tokens that do not train are read
        like others. What follows the last masked-in token of a row is not computed. `embeds` are the
        `prompt_embeds`, where they are at hand.
        """
        run = packed_states if self.share_prompt else repeated_states
        embeds = self.prompt_embeds(prompts) if embeds is None else embeds
        frames, inserted = None, self.any_rank(bool(completions.audio))
        if completions.audio:
            placeholders = (completions.roles_on_host == Role.AUDIO).sum(1)
            frames = self.frames_in_order(completions.audio, completions.clip_counts, placeholders)
        elif inserted:
            embeds = embeds + 0.0 * self.silent_frames().sum()  # the tower's shards are gathered by all ranks or none
        return run(self.embed, self.decoder, embeds, prompts, completions, group_size, frames)

    def token_logprobs(
        self, prompts: Prompts, completions: Completions, temperature: float = 1.0, group_size: int = 1
    ) -> TokenLogprobs:
        """Log-probabilities and entropies of the masked-in tokens, at the temperature they are sampled at."""
        states = self.token_states(prompts, completions, group_size)
        ids, mask, bias = completions.ids, completions.mask_on_host, self.lm_head_bias
        return token_logprobs(states, self.lm_head_weight, ids, mask, temperature, bias=bias, impl=self.head_impl)

    def policy_loss(
        self, rollouts: Rollouts, objective: PolicyLossConfig, routes: Int[Tensor, " b"], **settings: Any
    ) -> LinearPolicyLossOutput:
        """The objective of these rollouts, one pass from hidden states to gradient; see `lm_head.policy_loss`."""
        completions = rollouts.completions
        return policy_loss(
            self.token_states(rollouts.prompts, completions, rollouts.group_size),
            self.lm_head_weight,
            completions.ids,
            completions.mask_on_host,
            rollouts.sampling_logprobs if rollouts.old_logprobs is None else rollouts.old_logprobs,
            rollouts.advantages,
            objective,
            routes,
            ref_logprobs=rollouts.ref_logprobs,
            rollout_logprobs=None if objective.is_cap is None else rollouts.sampling_logprobs,
            bias=self.lm_head_bias,
            impl=self.head_impl,
            **settings,
        )

    def save(self, path: str | Path) -> None:
        """Write an ordinary Hugging Face folder (adapters merged) that any loader of the family reads.

        Adapters on a base in 4 bits are merged into its whole weights, which are read again.
        """
        model, base = read_whole(self.model, self.path) if self.load_in_4bit else (self.model, None)
        state = self.lora.merged_state(self.model, base) if self.lora else model.state_dict()
        model.save_pretrained(path, state_dict=state)
        self.processor.save_pretrained(path)
        if self.speech is not None:
            self.speech.save(path)

    def _check_lengths(self, conversation: Conversation, name: str) -> None:
        for number, turn in enumerate(conversation.turns, start=1):
            reason = (
                None if isinstance(turn, str) else self.audio_length_error(to_seconds(len(turn), self.sampling_rate))
            )
            if reason:
                earlier = f", turn {number}" if number < len(conversation.turns) else ""
                raise ValueError(f"{name}{earlier}: {reason}")
