"""What a policy says it hears, section by section, held against the gold of the lines. (HyPeR, arXiv:2604.14806)"""
