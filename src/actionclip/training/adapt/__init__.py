"""Fine-tuning that remembers: adapters, a teacher, weights between start and end, and a report."""
