"""The proof: logs in as the check principal with a real Kerberos ticket, and reads its row of `pg_stat_gssapi`.

With a keytab, the libpq that psycopg2 bundles takes the ticket itself. With a password, this function takes the ticket
by the same Kerberos library.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import psycopg2

from aurora_kerberos.aws import secret_content
from aurora_kerberos.database.master import connect
from aurora_kerberos.errors import LoginRefused, SecretUnusable
from aurora_kerberos.plan import Check, Cluster
from aurora_kerberos.step import MINUTE, Ready, Waiting, step
from aurora_kerberos.tickets import TicketRefused, take_ticket

# Texts of libpq and of the Kerberos library, and the remedy for each.
REMEDIES = {
    "Cannot contact any KDC": "Let this stack's functions reach TCP port 88 of the directory's domain controllers.",
    "not found in Kerberos database": "Create the check principal's user in the directory.",
    "Preauthentication failed": "The password is another one by now: store it, or a new keytab, in the secret.",
    "Password has expired": "Reset the user's password in the directory, to the one in the secret or to another that "
    "is stored there.",
    "credentials have been revoked": "The check principal's user is disabled or locked in the directory: enable it.",
    "no pg_hba.conf entry": "The role lacks rds_ad, or the instance has not restarted since the cluster joined.",
    "server requested": "The role lacks rds_ad, or the instance has not restarted since the cluster joined.",
    "GSSAPI authentication failed": "The role's name must be the principal's to the letter, lower-case name and "
    "upper-case realm.",
    "Key version is not available": "The cluster's service key is being renewed: start again in some minutes.",
    "Clock skew": "The clocks of directory and database differ by more than five minutes: ask AWS Support.",
}


class Arguments(TypedDict):
    """`cluster` that has joined; `krb5_conf` as it has been published for clients; `check` of the plan."""

    cluster: Cluster
    krb5_conf: str
    check: Check


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when the login succeeded, or when no check principal is configured. The outputs say which."""
    check = arguments["check"]
    if not check["secret"]:
        return Ready({"verified": False, "reason": "No login was tried: the stack's parameter CheckSecret is empty."})
    credentials = read_credentials(check["secret"])
    try:
        proof = login(arguments["cluster"], arguments["krb5_conf"], check["principal"], credentials)
    except (psycopg2.OperationalError, TicketRefused) as error:
        said = " ".join(str(error).split())
        hints = [remedy for text, remedy in REMEDIES.items() if text.lower() in said.lower()]
        refused = LoginRefused(
            f"{check['principal']} cannot log in to {arguments['cluster']['endpoint']}: {said}",
            hints[0] if hints else "Try the same with psql from a host in the stack's subnets.",
        )
        # Replication in the directory takes some minutes, and so does the restart of an instance.
        return Waiting("The Kerberos login does not succeed yet", deadline=10 * MINUTE, otherwise=refused)
    return Ready({"verified": True, **proof})


def read_credentials(name: str) -> str | bytes:
    """The keytab in the secret; if it has none, the password."""
    remedy = "Store a JSON object with 'keytab' (the output of `base64 -w0 FILE`) or 'password' in the secret."
    content = secret_content(name, remedy)
    if keytab := content.get("keytab"):
        try:
            return base64.b64decode(str(keytab), validate=True)
        except binascii.Error:
            raise SecretUnusable(f"The field 'keytab' of the secret {name} is not base64.", remedy) from None
    if password := content.get("password"):
        return str(password)
    raise SecretUnusable(f"The secret {name} has no 'keytab' and no 'password'.", remedy)


def login(cluster: Cluster, krb5_conf: str, principal: str, credentials: str | bytes) -> dict[str, Any]:
    """Take a new ticket, log in with it, and delete it; return the row of `pg_stat_gssapi`."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "krb5.conf").write_text(krb5_conf)
        before = dict(os.environ)
        os.environ.update(kerberos_environment(Path(folder), before))
        try:
            if isinstance(credentials, str):
                take_ticket(principal, credentials, os.environ["KRB5CCNAME"])
            else:
                (Path(folder) / "keytab").write_bytes(credentials)
            connection = connect(cluster, principal, gssencmode="prefer", require_auth="gss")
        finally:
            os.environ.clear()
            os.environ.update(before)
        with connection, connection.cursor() as session:
            session.execute(
                "SELECT gss_authenticated, principal, encrypted FROM pg_stat_gssapi WHERE pid = pg_backend_pid()"
            )
            row = session.fetchone() or (False, "", False)
        connection.close()
    return {"gss_authenticated": row[0], "principal": row[1], "encrypted": row[2]}


def kerberos_environment(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that name libkrb5's files. A KRB5_CONFIG that is set already comes first in the list."""
    configs = [environment["KRB5_CONFIG"]] if environment.get("KRB5_CONFIG") else []
    return {
        "KRB5_CONFIG": ":".join([*configs, str(folder / "krb5.conf")]),
        "KRB5_CLIENT_KTNAME": f"FILE:{folder / 'keytab'}",
        "KRB5CCNAME": f"FILE:{folder / 'ccache'}",
    }
