"""Advantages, and what SFT, alignment and emotion regression minimise: pure functions of tensors.

Models, rewards and data do not appear here. The policy objectives are in `cogrl_kernels.policy_kinds`.
"""
