"""AWS clients of any account and Region, as the cloud itself and moto's interpreter need them.

All clouds have the same, for they know nothing of the cloud that answers.
"""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config

_one_at_a_time = Lock()  # a session is not made for threads


def access_key(account: str) -> tuple[str, str]:
    """The access key of an account and its secret: 20 characters, or moto would not find it in a signature."""
    return f"ASIA{account}MOTO", "of-the-local-run-alone"


@cache
def session_of(account: str) -> boto3.Session:
    """A session of an account."""
    return boto3.Session(*access_key(account))


@cache
def client_of(service: str, account: str, region: str, config: Config | None = None) -> Any:
    """A client of an account and Region."""
    with _one_at_a_time:
        return session_of(account).client(service, region_name=region, config=config)  # type: ignore[call-overload]  # any service
