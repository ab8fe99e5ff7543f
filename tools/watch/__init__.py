"""A rollout of AWS, watched in a terminal."""
