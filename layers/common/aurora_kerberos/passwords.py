"""Passwords for users of the directory: made here, kept in Secrets Manager alone."""

from __future__ import annotations

import json
import secrets
import string

from botocore.exceptions import ClientError

from aurora_kerberos.aws import client, code, secret


def generated(name: str, username: str, description: str) -> str:
    """The password in the secret `name`, generated into it the first time (`secretsmanager:CreateSecret`).

    Raises:
        SecretUnusable: the secret exists and holds no password.
    """
    password = new_password()
    try:
        client("secretsmanager").create_secret(
            Name=name,
            Description=description,
            SecretString=json.dumps({"username": username, "password": password}),
            Tags=[{"Key": "managed-by", "Value": "aurora-kerberos"}],
        )
    except ClientError as error:
        if code(error) != "ResourceExistsException":
            raise
        return secret(name, "password")["password"]
    return password


def new_password() -> str:
    """32 characters of three of the four classes, without the word admin (CreateMicrosoftAD, ResetUserPassword)."""
    while True:
        password = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))
        classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
        if all(set(password) & set(each) for each in classes) and "admin" not in password.lower():
            return password
