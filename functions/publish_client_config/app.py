"""Step 8: stores what a client needs to log in as SSM parameters, and puts it into the outcome."""

from __future__ import annotations

import json
import re
import shlex
from typing import TypedDict
from urllib.parse import quote

from aurora_kerberos import authorities, krb5, names
from aurora_kerberos.aws import client, region
from aurora_kerberos.plan import Cluster, Directory, Trust
from aurora_kerberos.step import Ready, step

USER = "<user>"
AUTHORITIES = "<authorities>"  # the path of a file


class Arguments(TypedDict):
    """`cluster` that has joined, `directory`, `trusts` of the plan; `prefix` of the names of the parameters."""

    cluster: Cluster
    directory: Directory
    trusts: list[Trust]
    prefix: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when both parameters have the right value. A parameter that has it already is not written."""
    directory, trusts = arguments["directory"], arguments["trusts"]
    # The DNS servers of a trusted domain are its domain controllers in every Active Directory whose DNS is its own.
    trusted = {trust["domain"]: trust["dns_ips"] for trust in trusts}
    conf = krb5.conf({directory["dns_name"]: directory["dns_ips"], **trusted})
    strings = connection_strings(arguments["cluster"], directory, trusts)
    both = conf, json.dumps(strings, indent=2)
    wanted = dict(zip(names.client_parameters(arguments["prefix"]), both, strict=True))
    found = client("ssm").get_parameters(Names=sorted(wanted))["Parameters"]
    there = {parameter["Name"]: parameter["Value"] for parameter in found}
    for name, value in wanted.items():
        if there.get(name) != value:
            client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
    return Ready({"krb5_conf": conf, "connect": strings, "parameters": sorted(wanted)})


def connection_strings(cluster: Cluster, directory: Directory, trusts: list[Trust]) -> dict[str, str]:
    """Connection strings ("Connecting with Kerberos authentication").

    A person replaces `<user>` by a name, and `<authorities>` by the path of RDS's certificate authorities. The address
    of these is among the strings.
    """
    host, port, database = cluster["endpoint"], cluster["port"], cluster["database"]
    user = f"{USER}@{directory['realm']}"
    query = f"user={quote(user, safe='<>')}&sslmode=verify-full&sslrootcert={AUTHORITIES}"
    conninfo = (
        f"host={host} port={port} dbname={quoted(database)} user={user} sslmode=verify-full sslrootcert={AUTHORITIES}"
    )
    strings = {
        "psql": f"psql {shlex.quote(conninfo)}",
        "psycopg": f"psycopg.connect({conninfo!r})",
        "jdbc": f"jdbc:postgresql://{host}:{port}/{quote(database, safe='')}?{query}",
        "authorities": f"Download {authorities.address(region())} once, and write its path in place of {AUTHORITIES}.",
    }
    if trusts:
        # Windows asks for the ticket of a name in a domain that its forest knows.
        windows = host.replace("rds.amazonaws.com", directory["dns_name"])
        strings["windows_of_trusted_domains"] = (
            f"Connect to {windows}, not to a custom endpoint. Where the certificate does not hold this name, take "
            "sslmode=verify-ca."
        )
    return strings


def quoted(value: str) -> str:
    """A value of a libpq connection string ("Connection Strings", PostgreSQL documentation)."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return value if re.fullmatch(r"[\w.-]+", value) else f"'{escaped}'"
