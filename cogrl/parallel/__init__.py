"""Strategies that shard a stage over the ranks; the only room that imports DeepSpeed or FSDP.

A stage knows one word of it, `Stage.whole()`: inside, every rank has all weights of the policy.
"""
