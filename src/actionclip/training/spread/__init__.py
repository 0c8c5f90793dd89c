"""How a training uses processors: weights shared out, blocks compiled, slow layers avoided."""
