"""Scenarios: their format, and how they are run and judged."""
