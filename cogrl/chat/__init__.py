"""Asking a language model over HTTP: questions in batches, deadlines, retries, a cache and a record of the cost."""
