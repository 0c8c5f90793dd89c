"""How a training is spread over processors: weights shared out, blocks compiled."""
