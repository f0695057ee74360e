"""Accelerated quantities for cogrl. One operation per module; every module imports torch (and later triton) only."""
