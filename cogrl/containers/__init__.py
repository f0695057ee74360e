"""Audio files on disk: the format of each, whether it is complete, and how it is opened."""
