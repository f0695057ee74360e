"""What answers cite of their clip to hear it once more, and what it is worth. (Echo, arXiv:2602.11909)"""
