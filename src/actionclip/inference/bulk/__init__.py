"""Answers about very many videos: kept as they come, whole in one file, shared by machines."""

RESULT_FORMATS = ".jsonl, .csv or .parquet"
