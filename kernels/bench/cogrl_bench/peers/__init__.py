"""What others offer for the same quantities: one file a library, imported only when its provider is opened."""
