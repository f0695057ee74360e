import subprocess
import sys

import numpy as np
import pytest

from cogrl.data.recipes.lime_mini import build_lime_mini
from cogrl.data.recipes.lime_plan import Split
from cogrl.data.synthesis.espeak import Espeak

installed = pytest.mark.skipif(
    "not __import__('importlib').util.find_spec('espeakng_loader')", reason="pip install 'cogrl[espeak]'"
)
SPOKEN = """
import sys
from cogrl.data.synthesis.espeak import Espeak
import hashlib
engine = Espeak()
for voice in sys.argv[1:]:
    wave, rate = engine.speak("My exam paper came back.", voice, 0.0, 1.0, 175, 0.0)
    print(voice, rate, hashlib.sha256(wave.tobytes()).hexdigest())
"""


def spoken(*names: str) -> dict[str, str]:
    """Digests by voice, from a process of its own: the GPL library stays out of this one."""
    run = subprocess.run([sys.executable, "-c", SPOKEN, *names], capture_output=True, text=True, check=True)
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in run.stdout.splitlines()}


@installed
def test_a_voice_sounds_the_same_whatever_was_said_before():
    names = ["en-us+f2", "en+m3", "en-us+Reed", "en-us+Annie"]  # Reed is a klatt voice: its noise is of another source
    forward, backward = spoken(*names), spoken(*reversed(names))
    assert forward == backward and len(set(forward.values())) == 4


@installed
def test_an_unknown_voice_is_an_error_not_a_default_voice():
    with pytest.raises(subprocess.CalledProcessError) as caught:
        spoken("en-scottish")
    assert "ValueError: espeak-ng has no voice 'en-scottish'" in caught.value.stderr


@installed
def test_the_default_tier_renders_emotions_that_can_be_measured(tmp_path):
    plan = tuple(Split(name, 1, 1, 1) for name in ("sft", "rl", "val", "test"))
    summary = build_lime_mini(tmp_path / "lime", "mini", workers=2, plan=plan)
    assert summary.clips == {"sft": 7, "rl": 7, "val": 7, "test": 7, "conflict": 14}
    from cogrl.data.manifest import read_manifest

    by_emotion: dict[str, list[float]] = {}
    for split in summary.clips:
        for example in read_manifest(summary.out / f"{split}.jsonl"):
            by_emotion.setdefault(example.emotion, []).append(example.synthesis["measured"]["duration_s"])
            assert 0.6 < example.duration_s < 4.0 and "espeak-ng" in example.licence
    assert np.mean(by_emotion["sad"]) > np.mean(by_emotion["neutral"]) > np.mean(by_emotion["anger"])


def test_without_espeak_the_error_names_the_extra_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ImportError, match=r"pip install 'cogrl\[espeak\]'"):
        Espeak()
    with pytest.raises(ImportError, match="smoke"):
        build_lime_mini(tmp_path / "lime", "mini")
    assert not list(tmp_path.iterdir())
