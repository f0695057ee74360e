"""A vLLM server as an engine: its client, what goes over the wire, and how weights reach it. (docs/vllm.md)"""

from cogrl.rollout.vllm.engine import Pending, VLLMEngine

__all__ = ["Pending", "VLLMEngine"]
