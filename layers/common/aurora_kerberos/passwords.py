"""Passwords for users of the directory: made here, kept in Secrets Manager alone.

A secret is marked from before its user is made until the user has the password: whoever finds the mark goes on there.
The mark is first the client token with which the user is made, then the user's SID.
"""

from __future__ import annotations

import json
import secrets
import string
import uuid

from botocore.exceptions import ClientError

from aurora_kerberos import names
from aurora_kerberos.aws import client, code, secret
from aurora_kerberos.environment import environment

MARK = "kerberos-password-due"


def generated(name: str, username: str, description: str, mark: str = "") -> str:
    """The password in the secret `name`, generated into it the first time (`secretsmanager:CreateSecret`).

    A secret that is made gets the mark, and is under the key of the stack's, if there is one; one that is there is not
    changed.

    Raises:
        SecretUnusable: the secret exists and holds no password.
    """
    password = new_password(username)
    key = environment.secrets_key
    try:
        client("secretsmanager").create_secret(
            Name=name,
            Description=description,
            SecretString=json.dumps({"username": username, "password": password}),
            **({"KmsKeyId": key} if key else {}),
            Tags=[
                names.MANAGED_BY,
                *([{"Key": MARK, "Value": mark}] if mark else []),
            ],
        )
    except ClientError as error:
        if code(error) != "ResourceExistsException":
            raise
        return secret(name, "password")["password"]
    return password


def new_password(username: str = "") -> str:
    """32 characters of three of the four classes, without the word admin and the user's name.

    "CreateMicrosoftAD" and "ResetUserPassword" in the API reference; Active Directory's rule of complexity.
    """
    words = ["admin", username.lower()] if len(username) > 2 else ["admin"]
    while True:
        password = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))
        classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
        if all(set(password) & set(each) for each in classes) and not any(word in password.lower() for word in words):
            return password


def begin(name: str, username: str, description: str) -> str:
    """The secret of a user who is about to be made, generated and marked; the mark, perhaps of who was faster."""
    token = str(uuid.uuid4())
    generated(name, username, description, token)
    if found := mark_of(name):
        return found
    mark(name, token)
    return token


def mark_of(name: str) -> str:
    """The mark on a secret; empty when there is none, or no such secret (`secretsmanager:DescribeSecret`)."""
    try:
        described = client("secretsmanager").describe_secret(SecretId=name)
    except ClientError as error:
        if code(error) != "ResourceNotFoundException":
            raise
        return ""
    return {tag["Key"]: str(tag["Value"]) for tag in described.get("Tags", [])}.get(MARK, "")


def mark(name: str, value: str) -> None:
    """Mark a secret (`secretsmanager:TagResource`)."""
    client("secretsmanager").tag_resource(SecretId=name, Tags=[{"Key": MARK, "Value": value}])


def unmark(name: str) -> None:
    """Take the mark off a secret (`secretsmanager:UntagResource`)."""
    client("secretsmanager").untag_resource(SecretId=name, TagKeys=[MARK])
