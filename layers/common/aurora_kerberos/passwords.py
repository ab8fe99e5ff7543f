"""Passwords for users of the directory. They are generated here, and kept only in Secrets Manager.

A secret has a mark from before its user is created until the user has the password. An execution that finds the mark
goes on from there. The mark is first the client token of the call that creates the user, then the user's SID.
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
    """The password in the secret `name`; if the secret does not exist, generate it (`secretsmanager:CreateSecret`).

    A new secret gets the mark, and is encrypted with the stack's key, if there is one. An existing secret is not
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
    """A password of 32 characters of three classes, without the word admin and the user's name.

    "CreateMicrosoftAD" and "ResetUserPassword" in the API reference; Active Directory's rule of complexity.
    """
    words = ["admin", username.lower()] if len(username) > 2 else ["admin"]
    while True:
        password = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))
        classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
        if all(set(password) & set(each) for each in classes) and not any(word in password.lower() for word in words):
            return password


def begin(name: str, username: str, description: str) -> str:
    """Generate and mark the secret of a user who is about to be created; return the mark, which may be another's."""
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
