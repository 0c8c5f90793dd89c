"""What users do with a model: classify and embed videos, one or many, and show the results."""

EMBEDDING_FORMATS = ".npz or .parquet"
