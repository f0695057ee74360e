"""Audio language models behind one contract."""
