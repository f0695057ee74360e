"""`cogrl build`: one file for each thing it makes."""
