"""Rewards of answers that cite segments to hear them again. (Echo, arXiv:2602.11909)"""
