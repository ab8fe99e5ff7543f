"""The AWS clients, and the one place where their errors become ours."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError
from botocore.session import get_session

from aurora_kerberos.environment import environment
from aurora_kerberos.errors import AccessDenied, AwsRefused, AwsUnavailable, KerberosError, SecretUnusable

ERRORS = (ClientError, BotoCoreError)

LATER = {
    "BandwidthLimitExceeded",
    "ConcurrentModification",
    "EC2ThrottledException",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceException",
    "ServiceFailure",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
}
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "AuthorizationError"}


@lru_cache(maxsize=16)
def client(service: str, role: str = "", attempts: int = 2, where: str = "") -> Any:
    """The client of an AWS service, made when first asked for; of the roles of many accounts the last few are kept.

    Time-outs are short and retries few: the state machine has the patience, the function has not.

    Args:
        service: as boto3 names it.
        role: ARN of a role to call it with, be it of another account; empty for the function's own.
        attempts: 1 for calls that make something anew each time: an answer that is lost must not make two.
        where: a Region; empty for the function's own.
    """
    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    config = Config(connect_timeout=3, read_timeout=20, retries=retries)
    return session(role).client(service, region_name=where or region(), config=config)  # type: ignore[call-overload]  # any service


@lru_cache(maxsize=16)
def session(role: str) -> boto3.Session:
    """A session of the role; its credentials are renewed before they expire ("AssumeRole", AWS STS API reference)."""
    own = boto3.Session(region_name=region())
    if not role:
        return own
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=own._session.create_client,
        source_credentials=own.get_credentials(),
        role_arn=role,
        extra_args={"RoleSessionName": "aurora-kerberos", "ExternalId": environment.external_id},
    )
    assumed = get_session()
    assumed._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")  # type: ignore[attr-defined]  # botocore's stubs leave it out
    return boto3.Session(botocore_session=assumed, region_name=region())


def region() -> str:
    """The Region the function runs in."""
    return os.environ["AWS_REGION"]


def code(error: BaseException) -> str:
    """AWS's error code, or the empty text when `error` is not an answer of AWS."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def message(error: ClientError) -> str:
    """What AWS said, in its words."""
    return str(error.response.get("Error", {}).get("Message", ""))


def redacted(error: ClientError, password: str) -> ClientError:
    """The error without the password, which AWS may quote as what it was sent."""
    error.response["Error"]["Message"] = message(error).replace(password, "***")
    error.args = tuple(str(part).replace(password, "***") for part in error.args)
    return error


def translate(error: ClientError | BotoCoreError) -> KerberosError:
    """The workflow's error for one of botocore's that a step did not expect."""
    if isinstance(error, ConnectTimeoutError | EndpointConnectionError):
        return AwsUnavailable(
            f"AWS could not be reached: {error}",
            "Give the stack's subnets a NAT gateway, or an interface endpoint for the service that is named.",
        )
    if not isinstance(error, ClientError):
        return AwsUnavailable(f"AWS could not be asked: {error}")
    said = f"{error.operation_name}: {code(error)}: {message(error)}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code(error) in LATER or status >= 500 or status == 429:
        return AwsUnavailable(said)
    if code(error) in DENIED:
        return AccessDenied(said)
    return AwsRefused(said, "Mend what AWS names, then start the execution again.")


def secret(secret_id: str, *fields: str) -> dict[str, str]:
    """The named fields of a JSON secret.

    Raises:
        SecretUnusable: missing, scheduled for deletion, without a value, not JSON, or without one of the fields.
    """
    remedy = f"Store a JSON object with {' and '.join(map(repr, fields))} in the secret."
    content = secret_content(secret_id, remedy)
    if missing := [name for name in fields if not content.get(name)]:
        raise SecretUnusable(f"The secret {secret_id} has no {' and no '.join(map(repr, missing))}.", remedy)
    return {name: str(content[name]) for name in fields}


def secret_content(secret_id: str, remedy: str) -> dict[str, Any]:
    """All of a JSON secret; raises as `secret`, with the remedy."""
    try:
        content = json.loads(secret_text(secret_id, remedy))
    except ValueError:
        # Without a cause: the text that is not JSON may be the secret itself.
        raise SecretUnusable(f"The secret {secret_id} is not JSON.", remedy) from None
    return content if isinstance(content, dict) else {}


def secret_text(secret_id: str, remedy: str) -> str:
    """The text of a secret; empty when it holds bytes. Raises as `secret`, with the remedy."""
    try:
        value = client("secretsmanager").get_secret_value(SecretId=secret_id)
    except ClientError as error:
        if code(error) in {"ResourceNotFoundException", "InvalidRequestException", "DecryptionFailure"}:
            raise SecretUnusable(f"The secret {secret_id} cannot be read: {message(error)}", remedy) from error
        raise
    return str(value.get("SecretString", ""))
