"""`make bench`: the page of figures, `docs/benchmarks.md`, each with the command that makes it."""
