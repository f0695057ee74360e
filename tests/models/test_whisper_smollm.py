"""A Whisper encoder and a Llama of the same build, small and random, in the Qwen2-Audio class."""

import pytest
import torch
from ct2_file import ct2_variables
from format_instructions import INSTRUCTIONS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.whisper_smollm import assemble, tokenizer_with_audio
from cogrl.stages import Perceive, Sft
from cogrl.types import ClipBatch

PROJECTOR = ".*multi_modal_projector"


@pytest.fixture(scope="module")
def sources():
    """Encoder, language model and tokenizer, as the real ones are before they are assembled."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator(["in 1999 in 1999 he heard 19 of 99"] * 9, trainer)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"d_model": 128, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 96}
        sizes |= {"num_mel_bins": 8, "max_source_positions": 150}
        encoder = WhisperEncoder(WhisperConfig(init_std=0.3, **sizes)).half().float().eval()
        sizes = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2}
        heads = {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True}
        config = LlamaConfig(vocab_size=bpe.get_vocab_size(), initializer_range=0.3, **sizes, **heads)
        return encoder, LlamaForCausalLM(config).eval(), bpe


@pytest.fixture(scope="module")
def folder(sources, tmp_path_factory):
    encoder, language_model, bpe = sources
    folder = tmp_path_factory.mktemp("policy") / "whisper-llama"
    assemble(folder, ct2_variables(encoder), language_model, tokenizer_with_audio(bpe), seed=0, window_s=3)
    return folder


@pytest.fixture
def policy(folder):
    return Qwen2Audio(str(folder)).load()


def logprobs(policy, clips, group_size=1, **answers):
    names = [c.example.id for c in clips]
    prompts = policy.encode_prompts([INSTRUCTIONS["eips"]] * len(clips), [c.waveform for c in clips], names)
    texts = [f"{c.example.targets['direct']} {i}" for c in clips for i in range(group_size)]
    targets = policy.encode_targets(texts)
    return policy.token_logprobs(prompts, targets, group_size=group_size).logprobs[targets.mask]


@torch.no_grad()
def test_the_tower_hears_what_whisper_hears(sources, policy, clips):
    encoder, tower = sources[0], policy.audio_tower
    tensors = policy.audio_tensors([clips[0].waveform])  # as long as the window: nothing is masked
    assert tensors["feature_attention_mask"].all()
    frames = []
    encoder.layer_norm.register_forward_pre_hook(lambda _, inputs: frames.append(inputs[0]))
    encoder(tensors["input_features"])
    expected = encoder.layer_norm(frames[0].unflatten(1, (-1, 2)).mean(2))  # Qwen2-Audio halves the rate before it
    assert torch.allclose(tower(tensors["input_features"]).last_hidden_state, expected, atol=1e-4)


@torch.no_grad()
def test_the_words_are_those_of_the_language_model(sources, policy):
    _, language_model, bpe = sources
    ids = torch.tensor([bpe.encode("he heard in 1999").ids])
    theirs = language_model(ids).logits
    ours = policy.model(input_ids=ids).logits
    assert torch.allclose(ours[..., : theirs.shape[-1]], theirs, atol=1e-4)


def test_the_head_is_a_copy_of_the_embeddings_with_one_row_more(sources, policy):
    known = sources[1].lm_head.weight
    embeddings = policy.model.get_input_embeddings().weight
    assert torch.equal(policy.lm_head_weight, embeddings) and policy.lm_head_weight is not embeddings
    assert torch.equal(embeddings[:-1], known) and torch.allclose(embeddings[-1], known.mean(0), atol=1e-6)
    assert policy.audio_token_id == len(known) == len(policy.tokenizer) - 1


@torch.no_grad()
def test_shared_prompts_give_the_log_probs_of_repeated_ones(policy, clips):
    packed = logprobs(policy, clips, group_size=3)
    policy.share_prompt = False
    assert torch.allclose(packed, logprobs(policy, clips, group_size=3), atol=1e-4)


def test_digits_are_read_one_by_one(sources):
    bpe, tokenizer = sources[2], tokenizer_with_audio(sources[2])
    assert len(bpe.encode("1999").ids) < 4 == len(tokenizer.tokenize("1999"))
    assert tokenizer.decode(tokenizer("in 1999, it  was", add_special_tokens=False).input_ids) == "in 1999, it  was"


def test_the_chat_begins_with_the_systems_words_unless_they_are_given(policy):
    user = {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": "hm"}]}
    chat = policy.tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
    assert chat.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|")
    assert chat.endswith("<|im_end|>\n<|im_start|>user\n<|AUDIO|>\nhm<|im_end|>\n<|im_start|>assistant\n")
    system = {"role": "system", "content": "Be brief."}
    chat = policy.tokenizer.apply_chat_template([system, user], tokenize=False)
    assert chat.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user") and chat.count("system") == 1


def test_only_the_projector_depends_on_the_seed(sources, folder, tmp_path):
    encoder, language_model, bpe = sources
    assemble(tmp_path, ct2_variables(encoder), language_model, tokenizer_with_audio(bpe), seed=1, window_s=3)
    one, two = (Qwen2Audio(str(path)).load().state_dict() for path in (folder, tmp_path))
    assert {name for name in one if not torch.equal(one[name], two[name])} == {
        "model.model.multi_modal_projector.linear.weight"
    }


@pytest.mark.parametrize("window_s", [0, 31])
def test_a_window_that_whisper_does_not_have_is_refused(sources, tmp_path, window_s):
    encoder, language_model, bpe = sources
    with pytest.raises(ValueError, match=f"window_s={window_s}; Whisper hears 1 to 30 seconds"):
        assemble(tmp_path, ct2_variables(encoder), language_model, tokenizer_with_audio(bpe), window_s=window_s)


def test_a_step_of_sft_moves_adapters_and_projector_and_nothing_else(folder, clips, tmp_path):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    policy = Qwen2Audio(str(folder), train_audio_tower=False, lora=Lora(dropout=0.0, in_full=PROJECTOR)).load().train()
    trained = [name for name, p in policy.named_parameters() if p.requires_grad]
    whole = [name for name in trained if "lora" not in name]
    assert [name.rpartition("projector.")[2] for name in whole] == ["linear.weight", "linear.bias"]
    assert len(trained) == 2 + 2 * 7 * 2  # A and B of seven matrices in two layers
    stage = Sft(policy)
    loss = stage.loss(ClipBatch(clips), ["eips", "direct", "eips", "direct"])
    loss.backward()
    moved = {name for name, p in policy.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert moved <= set(trained) and set(whole) <= moved and any("lora_B" in name for name in moved)
    policy.model.model.multi_modal_projector.linear.bias.data += 1.0
    policy.save(tmp_path)
    after = Qwen2Audio(str(tmp_path)).load().model.model
    assert torch.equal(after.multi_modal_projector.linear.bias, policy.model.model.multi_modal_projector.linear.bias)
    assert torch.equal(after.audio_tower.conv1.weight, policy.audio_tower.conv1.weight)


def test_a_perception_warm_up_leaves_a_frozen_tower_as_it_is(folder):
    def learning(**settings):
        stage = Perceive(Qwen2Audio(str(folder), **settings))
        stage.configure_model()
        return {name for name, p in stage.policy.named_parameters() if p.requires_grad}

    projector = {f"model.model.multi_modal_projector.linear.{leaf}" for leaf in ("weight", "bias")}
    assert learning(train_audio_tower=False) == projector
    assert learning() > projector and all("embed_positions" not in name for name in learning())


def test_a_name_that_no_module_has_is_refused(folder):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    with pytest.raises(ValueError, match="in_full='projector' matches no module"):
        Qwen2Audio(str(folder), lora=Lora(in_full="projector")).load()
