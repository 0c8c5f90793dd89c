"""Where examples come from: videos of a manifest, pairs in shards, rendered people."""
