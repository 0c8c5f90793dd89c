"""Weights on disk: model folders, safe files, the card, the Hub."""
