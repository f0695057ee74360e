"""Microbenchmarks of the kernels and of what they replace, behind `cogrl bench`."""
