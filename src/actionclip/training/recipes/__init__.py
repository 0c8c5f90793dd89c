"""Recipes: one TOML file is one reproducible run, from the data to the model folder."""
