"""Audio files as they lie on the disk: what each is, whether it is whole, and how it is opened."""
