"""Access to the users and groups of a directory by Directory Service Data, which is eventually consistent."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos.aws import client, code, message
from aurora_kerberos.errors import (
    AccessDenied,
    AwsRefused,
    DirectoryDataUnavailable,
)
from aurora_kerberos.plan import Directory
from aurora_kerberos.step import MINUTE, Waiting

ACCESS_DEADLINE = 30 * MINUTE
SEEN_DEADLINE = 15 * MINUTE  # of what was written, until it is read


def ensure_access(directory: Directory) -> Waiting | None:
    """Switch Directory Data access on (`ds:EnableDirectoryDataAccess`); None when it is Enabled."""
    ds, name = client("ds", directory["role"]), directory["id"]
    try:
        status = ds.describe_directory_data_access(DirectoryId=name)["DataAccessStatus"]
        if status == "Enabled":
            return None
        if status in {"Disabled", "Failed"}:
            ds.enable_directory_data_access(DirectoryId=name)
    except ClientError as error:
        if code(error) == "UnsupportedOperationException":
            raise DirectoryDataUnavailable(
                f"Directory {name} does not let its users and groups be read by API: {message(error)}",
                "Take the users and groups out of the settings and the principals, and make them by hand.",
            ) from error
        if code(error) != "DirectoryInDesiredStateException":
            raise
    unavailable = DirectoryDataUnavailable(
        f"Data access of directory {name} is {status} after {ACCESS_DEADLINE // MINUTE} minutes.",
        "Switch it on in AWS Directory Service (the directory's page, Directory Service Data), then start again.",
    )
    reason = f"Data access of directory {name} is not Enabled yet"
    return Waiting(reason, at_least=MINUTE, deadline=ACCESS_DEADLINE, otherwise=unavailable)


def later(error: ClientError, directory: Directory) -> Waiting:
    """What to wait for after an error of Directory Service Data.

    Raises:
        KerberosError: waiting does not help.
        ClientError: not one of its errors.
    """
    name, reason = code(error), str(error.response.get("Reason", ""))
    said = f"{error.operation_name}: {name} {reason}: {message(error)}"
    if name == "DirectoryUnavailableException" or reason == "DATA_DISABLED":
        unavailable = DirectoryDataUnavailable(said, "See the directory's status in AWS Directory Service.")
        waiting_for = f"Users and groups of directory {directory['id']} cannot be read or written"
        return Waiting(waiting_for, deadline=ACCESS_DEADLINE, otherwise=unavailable)
    if reason == "IAM_AUTH":
        who = directory["role"] or "the function's role"
        action = f"ds-data:{error.operation_name}"
        raise AccessDenied(said, f"Let {who} do {action} and ds:AccessDSData on the directory {directory['id']}.")
    if reason == "DIRECTORY_AUTH":
        outside = "Users and groups can only be written in the organizational unit that AWS made for the directory."
        raise AccessDenied(said, f"{outside} Make this one by hand, or take it out of the settings.")
    if name == "ValidationException" and reason == "INVALID_SECONDARY_REGION":
        raise AwsRefused(
            said, "Deploy the stack in the directory's primary Region, or make the users and groups there."
        )
    if name == "ValidationException":
        raise AwsRefused(said, "Correct the lists of users and groups, then start again.")
    raise error


def find(directory: Directory, kind: str, name: str) -> dict[str, Any] | None:
    """A user or a group, if it is seen (`ds-data:DescribeUser`, `ds-data:DescribeGroup`)."""
    data = client("ds-data", directory["role"])
    describe = data.describe_user if kind == "user" else data.describe_group
    try:
        return dict(describe(DirectoryId=directory["id"], SAMAccountName=name))
    except ClientError as error:
        if code(error) != "ResourceNotFoundException":
            raise
        return None
