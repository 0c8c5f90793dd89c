"""A few clips of each class become a model within minutes: heads on embeddings that are kept."""
