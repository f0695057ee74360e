"""Measurements of a waveform that claims are held against: turns, pitch, voices, level, tempo, SNR."""

from cogrl.rewards.perception.measure.measurements import Measurements, measure

__all__ = ["Measurements", "measure"]
