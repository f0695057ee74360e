"""Reinforcement-learning post-training for audio language models: hear first, then reason."""
