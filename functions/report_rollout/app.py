"""A rollout's end: writes the report as JSON, CSV and a page to the bucket, and sends a notification with the link.

The report is written however the rollout ends: after a dry run, after the last wave, when the gate has stopped it, and
when a step of the rollout itself has failed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any, TypedDict
from urllib.parse import quote

from aurora_kerberos import names
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client
from aurora_kerberos.environment import environment
from aurora_kerberos.rollout import page, work
from aurora_kerberos.rollout.work import Report
from aurora_kerberos.step import Ready, step

COLUMNS = (
    "account",
    "region",
    "id",
    "wave",
    "state",
    "why",
    "outcome",
    "error",
    "message",
    "remedy",
    "began_at",
    "recorded_at",
)

# Some spreadsheets take semicolons or tabs for what parts the cells, and go on after them.
FORMULA = re.compile(r"((?:^|[;,\t|])\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


class Arguments(TypedDict):
    """The ARN of the `execution`; `now`: ISO 8601; `stopped`: why, or empty.

    `failure`: error, cause and step, or {}.
    """

    execution: str
    now: str
    stopped: str
    failure: Mapping[str, str]


@step
def handler(arguments: Arguments) -> Ready:
    """Ready with a sentence and the link to the report (`s3:PutObject`, `sns:Publish`)."""
    execution, failure = arguments["execution"], arguments["failure"]
    stopped = arguments["stopped"] or work.said(failure)
    report = work.report(execution, arguments["now"], stopped)
    work.write(execution, "report.json", report)
    work.write_text(execution, "report.csv", table(report), "text/csv")
    key = work.write_text(execution, "report.html", page.html(report), "text/html")
    region, bucket = Arn.parse(execution).region, environment.rollout_bucket
    link = f"https://{region}.console.aws.amazon.com/s3/object/{bucket}?region={region}&prefix={quote(key)}"
    sentence = work.sentence(report)
    client("sns").publish(
        TopicArn=environment.notification_topic,
        Subject=f"Kerberos rollout {'stopped' if stopped else 'planned' if report['dry_run'] else 'done'}",
        Message="\n\n".join(
            filter(None, [sentence, stopped, f"Report: {link}", f"Execution: {names.execution_link(execution)}"])
        ),
    )
    return Ready({"message": sentence, "stopped": stopped, "report": link, "counts": report["counts"]})


def table(report: Report) -> str:
    """The clusters as CSV, one row each."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
    rows.writeheader()
    rows.writerows({name: cell(row.get(name, "")) for name in COLUMNS} for row in report["clusters"])
    return text.getvalue()


def cell(value: Any) -> Any:
    """A value as it is written, so that no spreadsheet takes it for a formula ("CSV Injection", OWASP)."""
    return FORMULA.sub(r"\1'", names.plain(value)) if isinstance(value, str) else value
