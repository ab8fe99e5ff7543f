"""The RDS Data API: the statements run on the cluster's real PostgreSQL, as the user of the secret.

It is as strict as AWS's: the endpoint must be on, a number is a bigint, and the type `name` is not supported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2
from botocore.exceptions import ClientError
from psycopg2.extensions import connection

from local.core.calls import Parameters, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.servers.databases import Databases
from local.services.rds.backend import cluster_of

NAME = 19  # the oid of PostgreSQL's type `name`
PARAMETER = re.compile(r"(?<!:):(\w+)")

transactions: dict[str, connection] = {}


@fake("rds-data", "BeginTransaction")
def begin(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """A transaction; its id."""
    cluster = cluster_of(cloud, parameters["resourceArn"])
    if not cluster.enable_http_endpoint:
        raise AwsError("HttpEndpointNotEnabledException", f"HttpEndpoint is not enabled for {cluster.resource_id}.")
    try:
        secret = cloud.client("secretsmanager").get_secret_value(SecretId=parameters["secretArn"])
    except ClientError as error:
        raise AwsError("SecretsErrorException", "The secret was not found.") from error
    login = json.loads(secret["SecretString"])
    with database_errors():
        opened = psycopg2.connect(
            host="127.0.0.1",
            hostaddr="127.0.0.1",  # whatever the function itself reaches
            port=cloud.part(Databases).server(cluster.resource_id).port,
            dbname=parameters.get("database", "postgres"),
            user=login["username"],
            password=login["password"],
            gssencmode="disable",
        )
    name = f"transaction-{len(transactions)}"
    transactions[name] = opened
    return {"transactionId": name}


@fake("rds-data", "ExecuteStatement")
def execute(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001  as all fakes
    """One statement in a transaction; its rows."""
    given = {each["name"]: each["value"] for each in parameters.get("parameters", [])}
    text = parameters["sql"]
    if given:
        text = PARAMETER.sub(lambda found: placeholder(found[1], given), text.replace("%", "%%"))
    values = {name: next(iter(value.values())) for name, value in given.items()}
    with database_errors(), ongoing(parameters).cursor() as cursor:
        cursor.execute(text, values or None)
        if cursor.description is None:
            return {"numberOfRecordsUpdated": 0}
        if any(column.type_code == NAME for column in cursor.description):
            raise AwsError("UnsupportedResultException", "The result contains the unsupported data type name.")
        return {"records": [[field(value) for value in row] for row in cursor.fetchall()]}


@fake("rds-data", "CommitTransaction")
def commit(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001  as all fakes
    """The end of a transaction."""
    opened = ongoing(parameters)
    opened.commit()
    opened.close()
    return {"transactionStatus": "Transaction Committed"}


@fake("rds-data", "RollbackTransaction")
def roll_back(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001  as all fakes
    """The end of a transaction that never was."""
    ongoing(parameters).close()
    return {"transactionStatus": "Rollback Complete"}


def ongoing(parameters: Parameters) -> connection:
    """The connection of a transaction that has not ended."""
    opened = transactions.get(parameters["transactionId"])
    if opened is None or opened.closed:
        raise AwsError("TransactionNotFoundException", f"Transaction {parameters['transactionId']} is not found.", 404)
    return opened


@contextmanager
def database_errors() -> Iterator[None]:
    """What PostgreSQL says, as the Data API hands it on."""
    try:
        yield
    except psycopg2.Error as error:
        said = error.diag.message_primary or " ".join(str(error).split())
        raise AwsError("DatabaseErrorException", f"ERROR: {said}; SQLState: {error.pgcode}") from error


def placeholder(name: str, given: Mapping[str, Any]) -> str:
    """A named parameter, with the type that it is sent with."""
    if name not in given:
        raise AwsError("BadRequestException", f"Named parameter {name} has no value.")
    return f"CAST(%({name})s AS {'bigint' if 'longValue' in given[name] else 'text'})"


def field(value: object) -> Mapping[str, Any]:
    """A value of a row, as the Data API has it."""
    if value is None:
        return {"isNull": True}
    kinds = {bool: "booleanValue", int: "longValue", str: "stringValue"}
    return {kinds.get(type(value), "stringValue"): "" if value == "" else value}
