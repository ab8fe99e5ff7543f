"""A rollout over many clusters: its work, and what is said of it."""
