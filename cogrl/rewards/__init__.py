"""Rewards: one term a file, the judges behind them, and their weighted sums."""
