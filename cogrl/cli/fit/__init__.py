"""`cogrl fit`, `validate`, `test` and `predict`: Lightning's command line, and what it says of a wrong YAML file."""
