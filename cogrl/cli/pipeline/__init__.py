"""`cogrl run`: the steps of a pipeline, read from YAML, each run as a process of its own."""
