"""The way into a database that no route leads to: the cluster's HTTP endpoint (RDS Data API).

Source: "Using the Amazon RDS Data API", Aurora user guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from botocore.exceptions import ClientError
from psycopg2 import sql

from aurora_kerberos.aws import ERRORS, client, code, message
from aurora_kerberos.database.session import SETTINGS, Row, Statement, statement_refused
from aurora_kerberos.errors import AwsUnavailable, DatabaseUnreachable, KerberosError, SecretUnusable
from aurora_kerberos.plan import Cluster

LATER = {"DatabaseResumingException", "DatabaseUnavailableException", "StatementTimeoutException"}
STATEMENT = {"DatabaseErrorException", "BadRequestException"}
SECRET = {"SecretsErrorException", "InvalidSecretException"}
CLOSED = {"HttpEndpointNotEnabledException", "InvalidResourceStateException", "DatabaseNotFoundException"}
STATE = re.compile(r"; SQLState: (\w{5})$")  # the end of what the Data API says of PostgreSQL's errors

# How a transaction begins. The search path is not set before the second statement, so it names the schema and needs no
# operator; that the transaction may write can be said before the first query alone.
BEGIN = (
    "SET TRANSACTION READ WRITE",
    "SELECT " + ", ".join(f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in SETTINGS.items()),
)


class DataApiSession:
    """A transaction over the RDS Data API; see `database.Session`."""

    def __init__(self, place: Mapping[str, str]) -> None:
        self._place = place

    def execute(self, statement: Statement, parameters: Sequence[str | int] = ()) -> list[Row]:
        """See `database.Session`."""
        text = statement if isinstance(statement, str) else self._composed(statement)
        named = [{"name": f"p{number}", "value": _field(value)} for number, value in enumerate(parameters)]
        for parameter in named:  # a composed statement has none: what looks like one is part of a name
            text = text.replace("%s", f":{parameter['name']}", 1)
        answer = client("rds-data").execute_statement(**self._place, sql=text, parameters=named)
        return [tuple(_value(field) for field in record) for record in answer.get("records", [])]

    def _composed(self, statement: sql.Composable) -> str:
        """psycopg2 quotes with the help of a connection, which there is none of: the server quotes instead."""
        match statement:
            case sql.Composed():
                return "".join(self._composed(part) for part in statement.seq)
            case sql.SQL():
                return statement.string
            case sql.Identifier():
                quoted = [self.execute("SELECT quote_ident(%s)", (name,))[0][0] for name in statement.strings]
                return ".".join(quoted)
            case sql.Literal():
                ((quoted,),) = self.execute("SELECT quote_literal(%s)", (str(statement.wrapped),))
                return str(quoted)
        raise TypeError(f"{statement!r} cannot be sent by the RDS Data API.")


@contextmanager
def session(cluster: Cluster, user: str) -> Iterator[DataApiSession]:
    """A transaction of the master user, committed at the end (`rds-data:BeginTransaction`).

    Raises:
        DatabaseUnreachable: the HTTP endpoint is off, or the cluster has no instance for it.
        DatabaseRefused: a statement the database does not let the master user run.
        SecretUnusable: the Data API cannot log in with the master secret.
        AwsUnavailable: the database is paused or busy.
    """
    api = client("rds-data")
    place = {"resourceArn": cluster["arn"], "secretArn": cluster["master_secret"]}
    transaction = ""
    try:
        transaction = api.begin_transaction(**place, database=cluster["database"])["transactionId"]
        opened = DataApiSession({**place, "database": cluster["database"], "transactionId": transaction})
        for statement in BEGIN:
            opened.execute(statement)
        yield opened
        api.commit_transaction(**place, transactionId=transaction)
    except BaseException as error:
        if transaction:
            with suppress(*ERRORS):  # it may be gone already, which must not hide what went wrong
                api.rollback_transaction(**place, transactionId=transaction)
        if isinstance(error, ClientError) and (refused := refusal(error, cluster, user)):
            raise refused from error
        raise


def refusal(error: ClientError, cluster: Cluster, user: str) -> KerberosError | None:
    """The workflow's error for one of the Data API's; None when it is not its own."""
    said = message(error)
    if code(error) in LATER:
        return AwsUnavailable(f"The RDS Data API of {cluster['id']}: {said}")
    if code(error) in SECRET:
        return SecretUnusable(
            f"The RDS Data API cannot log in with the secret {cluster['master_secret']}: {said}",
            f"Correct the user name and password of {user} in it.",
        )
    if code(error) in CLOSED:
        return DatabaseUnreachable(
            f"Neither a connection nor the RDS Data API reaches {cluster['id']}: {said}",
            f"Let this stack's functions in at TCP port {cluster['port']} of the cluster, or switch on its HTTP "
            "endpoint.",
        )
    state = STATE.search(said)
    return statement_refused(said, user, state[1] if state else "") if code(error) in STATEMENT else None


def _field(value: str | int) -> dict[str, Any]:
    return {"longValue": value} if isinstance(value, int) else {"stringValue": value}


def _value(field: Mapping[str, Any]) -> Any:
    return None if field.get("isNull") else next(iter(field.values()))
