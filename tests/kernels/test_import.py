"""The folder `kernels/` must not be mistaken for the Hugging Face distribution of that name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, importlib.util
import cogrl_kernels.linear_logprob
from transformers import Qwen2AudioForConditionalGeneration
import cogrl.lm_head
from transformers.utils.import_utils import is_kernels_available
found = importlib.util.find_spec("kernels")
print(is_kernels_available(), found is not None and found.origin)
"""
FAKE = """
class _Anything:
    def __init__(self, *args, **kwargs): pass
    def __call__(self, *args, **kwargs): return args[0] if args and callable(args[0]) else self
def __getattr__(name):
    if name.startswith("__"): raise AttributeError(name)
    return _Anything if name[0].isupper() else _Anything()
"""
"""Has every name, as a class or a decorator: what is tested is who answers to `kernels`."""


@pytest.mark.parametrize("hugging_face", [False, True])
def test_kernels_and_a_transformers_model_import_together(tmp_path, hugging_face):
    if hugging_face:
        (tmp_path / "kernels").mkdir()
        (tmp_path / "kernels" / "__init__.py").write_text(FAKE)
        metadata = tmp_path / "kernels-0.18.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: kernels\nVersion: 0.18.2\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "kernels")])
    # from the repository root, where the folder itself is on the path
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    available, origin = done.stdout.split()[-2:]
    assert available == str(hugging_face)
    assert origin == (str(tmp_path / "kernels" / "__init__.py") if hugging_face else "None")


def test_all_operators_stand_under_the_packages_own_name():
    import torch
    from cogrl_kernels import linear_kl, linear_logprob, linear_policy_op, policy_op

    modules = (linear_kl, linear_logprob, linear_policy_op, policy_op)
    written = {Path(module.__file__) for module in modules}
    sources = (Path(linear_kl.__file__).parent).glob("*.py")
    assert {source for source in sources if "library.custom_op(" in source.read_text()} == written
    ours = {name for name in torch._C._dispatch_get_all_op_names() if "cogrl" in name}
    assert len(ours) == 5 and all(name.startswith("cogrl_kernels::") for name in ours)
