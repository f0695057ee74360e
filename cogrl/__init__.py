"""Reinforcement-learning post-training for audio language models."""
