"""A training run: batches in a fixed order, steps, a state on disk, and a loop that resumes."""
