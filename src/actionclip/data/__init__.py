"""What models are shown and asked: the label sets of the field, and synthetic people."""
