"""A small spoken corpus, a very small policy and an empty MLflow store: made once, shared by all tests."""

import functools
import importlib
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import torch

pytest_plugins = ["covering", "stage_lines"]

# background jobs ignore Ctrl-C, nohup SIGHUP, and children inherit that; but the tests send these signals
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# lowering PyTorch's own kernels needs oneDNN lowered too: PyTorch asks it what the CPU can do, and else picks a kernel
# that is not there ("pack_vnni2 is only supported when avx512 is supported")
LOWERED = {"default": "SSE41", "avx2": "AVX2"}.get(os.environ.get("ATEN_CPU_CAPABILITY", ""))
if LOWERED:
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", LOWERED)
    # what the compiler has made for the CPU as it is does not fit the lowered one
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor-{LOWERED}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vllm", metavar="PYTHON", help="of an environment with vLLM, for tests/rollout/test_vllm_real.py"
    )


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny models are slower on more threads, and a sum is made in another order on another number of them."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def smoke_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `sft|rl|val|test|conflict.jsonl` and their clips, read by the numpy voice."""
    from cogrl.data.recipes.lime_mini import build_lime_mini
    from cogrl.data.recipes.lime_plan import Split

    plan = (Split("sft", 2, 2, 1), Split("rl", 1, 2, 1), Split("val", 1, 1, 1), Split("test", 1, 1, 1))
    return build_lime_mini(tmp_path_factory.mktemp("corpus") / "lime", "smoke", seed=0, workers=1, plan=plan).out


@pytest.fixture(scope="session")
def smoke_texts(smoke_corpus: Path) -> list[str]:
    """All that a policy of the corpus reads and writes."""
    from format_instructions import INSTRUCTIONS

    from cogrl.data.manifest import read_manifest

    examples = read_manifest(smoke_corpus / "sft.jsonl")
    return [*INSTRUCTIONS.values(), *(text for e in examples for text in (e.text, *e.targets.values()))]


@pytest.fixture(scope="session")
def family_dir(tmp_path_factory: pytest.TempPathFactory, smoke_texts: list[str]):
    """`family_dir(name)`: the Hugging Face folder of a family's tiny model: one layer, random weights; made once."""

    from policy_families import FAMILIES, SIZES

    @functools.cache
    def folder(name: str) -> Path:
        out = tmp_path_factory.mktemp("policy") / name
        importlib.import_module(FAMILIES[name].builder).build_tiny_model(out, smoke_texts, **SIZES)
        return out

    return folder


@pytest.fixture(scope="session")
def tiny_policy_dir(family_dir) -> Path:
    """A Hugging Face folder: one layer, 50 thousand parameters, random weights."""
    return family_dir("qwen2_audio")


@pytest.fixture(scope="session")
def coarse_policy_dir(tmp_path_factory: pytest.TempPathFactory, smoke_texts: list[str]) -> Path:
    """The same, whose first pass reads eight frames as one."""
    from policy_families import SIZES

    from cogrl.models.tiny import build_tiny_model

    folder = tmp_path_factory.mktemp("policy") / "coarse"
    build_tiny_model(folder, smoke_texts, **SIZES, first_pass_pooling=8)
    return folder


@pytest.fixture(scope="session")
def tiny_omni_dir(family_dir) -> Path:
    """The same for the thinker of Qwen2.5-Omni."""
    return family_dir("qwen25_omni")


@pytest.fixture(scope="session")
def emotion_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded emotion encoder, random and very small."""
    import torch

    from cogrl.models.emotion_mel import MelEmotion

    with torch.random.fork_rng():
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("encoder") / "emotion"
        MelEmotion(mel_bins=16, channels=8, width=12).save(folder)
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file MLflow has set up: seconds of migrations, done once."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def workdir(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh working directory with an MLflow store that is ready."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def policy(tiny_policy_dir: Path):
    """A fresh tiny Qwen2-Audio, float32."""
    from cogrl.models.qwen2_audio import Qwen2Audio

    return Qwen2Audio(str(tiny_policy_dir)).load()


@pytest.fixture
def leads(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Of each token that the engine draws in this test, by how much the largest logit leads the second.

    Greedy answers can be compared from one batch with another only where rounding is too small to turn an arg max.
    """
    from cogrl.rollout import hf

    found, next_token_logits = [], hf.next_token_logits

    def spy(*args):
        logits = next_token_logits(*args)
        first, second = logits.topk(2, -1).values.unbind(-1)
        found.extend((first - second).tolist())
        return logits

    monkeypatch.setattr(hf, "next_token_logits", spy)
    return found


@pytest.fixture
def make_policy(family_dir):
    """`make_policy(name, **settings)`: a tiny policy of a family, or the one at `path`, with its weights read."""

    from policy_families import FAMILIES

    def make(name: str, path: str | None = None, **settings):
        kind = FAMILIES[name].policy
        return kind(path or str(family_dir(name)), **settings).load()

    return make


@pytest.fixture(params=["qwen2_audio", "qwen25_omni"])
def make(request: pytest.FixtureRequest, make_policy):
    """`make(**settings)`: a tiny policy of the two families that differ most, or the one at `path`."""
    return functools.partial(make_policy, request.param)


@pytest.fixture
def clips(smoke_corpus: Path) -> list:
    """Four clips of different emotions and lengths (0.5 s to 3 s: tiled or cut here, on purpose)."""
    import numpy as np

    from cogrl.audio import load_audio
    from cogrl.data.manifest import read_manifest
    from cogrl.types import Clip

    examples = read_manifest(smoke_corpus / "sft.jsonl")[:4]
    lengths = [int(16_000 * seconds) for seconds in (3.0, 0.5, 1.7, 1.1)]
    return [Clip(e, np.resize(load_audio(e.audio, name=e.id), n)) for e, n in zip(examples, lengths, strict=True)]


@pytest.fixture(scope="session")
def speech_codec_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded codec with random weights: 2 codebooks of 12, 25 frames a second."""
    import torch

    from cogrl.codecs.mel_rvq import MelRvq, MelRvqSizes

    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = MelRvq(MelRvqSizes(mel_bins=20, components=6, codebooks=2, size=12))
        codec.mean.fill_(-5.0)
        codec.basis.copy_(torch.linalg.qr(torch.randn(80, 6))[0])
        codec.entries.normal_(std=3.0)
        folder = tmp_path_factory.mktemp("codec") / "mel"
        codec.save(folder)
    return folder


@pytest.fixture
def speaking_policy(tiny_policy_dir: Path, speech_codec_dir: Path):
    """A fresh tiny Qwen2-Audio with a new Speak branch: two frames a step."""
    from cogrl.models.qwen2_audio import Qwen2Audio
    from cogrl.models.speak import SpeakSettings
    from cogrl.models.speak_decoder import SpeakSizes

    sizes = SpeakSizes(group=2, width=16, layers=1, heads=2)
    return Qwen2Audio(str(tiny_policy_dir), speech=SpeakSettings(str(speech_codec_dir), sizes=sizes)).load()
