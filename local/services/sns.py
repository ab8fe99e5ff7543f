"""Amazon SNS as far as moto is kinder: what a subject may hold."""

from __future__ import annotations

from local.core.calls import Parameters, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError


@fake("sns", "Publish")
def check_subject(cloud: Cloud, parameters: Parameters) -> None:  # noqa: ARG001  as all fakes
    """ASCII without control characters, at most 100 of them (API reference of Publish)."""
    subject = parameters.get("Subject", "x")
    if not 0 < len(subject) <= 100 or not subject.isascii() or not subject.isprintable():
        raise AwsError("InvalidParameter", "Invalid parameter: Subject")
