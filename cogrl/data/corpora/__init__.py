"""Readers of recorded and published corpora in their official layouts: folder in, manifests out, audio in place."""
