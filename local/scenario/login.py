"""A person's Kerberos login to a cluster of the local cloud, from this machine."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
from botocore.exceptions import ClientError

from aurora_kerberos import krb5
from local.cloud import Cloud
from local.core import places
from local.services.lambda_functions import surroundings


@dataclass(frozen=True)
class Login:
    """What came of a login: the row of `pg_stat_gssapi`, or the error."""

    cluster: str
    principal: str
    ok: bool
    gss_authenticated: bool = False
    encrypted: bool = False
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The login in the result of a rehearsal."""
        return asdict(self)


def login(cloud: Cloud, cluster: str, principal: str, role: str = "") -> Login:
    """Take a ticket for the principal with a key of the KDC, and log in with it as the role of the same name.

    A cluster elsewhere is written `account/region/id`, and the principal is of the directory that it is seen to have.

    As another `role` only who is in a group that is mapped to it. Aurora's pg_ad_mapping finds that role by itself;
    PostgreSQL has to be told.
    """
    with places.of(cluster) as name:
        return replace(login_here(cloud, name, principal, role), cluster=cluster)


def login_here(cloud: Cloud, cluster: str, principal: str, role: str) -> Login:
    """As `login`, in the present account and Region."""
    name, _, realm = principal.rpartition("@")
    if role:
        cloud.databases.server(cluster).let_in(members_of_roles(cloud, cluster))
    try:
        kdc = cloud.directories.realm(realm.lower())
    except LookupError as error:
        return Login(cluster, principal, ok=False, error=str(error))
    try:
        described = cloud.client("rds").describe_db_clusters(DBClusterIdentifier=cluster)["DBClusters"][0]
    except ClientError as error:
        return Login(cluster, principal, ok=False, error=str(error))
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("krb5.conf", "keytab", "ccache")}
        files["krb5.conf"].write_text(published(cloud, cluster))
        if not kdc.has_principal(name):
            return Login(cluster, principal, ok=False, error=f"{principal} is not a user of the directory.")
        kdc.keytab(files["keytab"], name)
        os.environ.update(
            surroundings(cloud),
            KRB5_CLIENT_KTNAME=f"FILE:{files['keytab']}",
            KRB5CCNAME=f"FILE:{files['ccache']}",
        )
        os.environ["KRB5_CONFIG"] += f":{files['krb5.conf']}"
        try:
            connection = psycopg2.connect(
                host=described["Endpoint"],
                port=described["Port"],
                dbname="postgres",
                user=role or principal,
                sslmode="verify-full",
                sslrootcert=str(cloud.databases.server(cluster).authorities),
            )
        except psycopg2.OperationalError as error:
            return Login(cluster, principal, ok=False, error=" ".join(str(error).split()))
        finally:
            os.environ.clear()
            os.environ.update(before)
    with connection, connection.cursor() as session:
        session.execute(
            "SELECT gss_authenticated, principal, encrypted FROM pg_stat_gssapi WHERE pid = pg_backend_pid()"
        )
        authenticated, shown, encrypted = session.fetchone() or (False, "", False)
    connection.close()
    return Login(cluster, shown, ok=True, gss_authenticated=authenticated, encrypted=encrypted)


def members_of_roles(cloud: Cloud, cluster: str) -> dict[str, list[str]]:
    """Who may log in as which role, by the mappings of a cluster's database and the groups of the directories."""
    found: dict[str, list[str]] = {}
    mappings = "SELECT ad_sid, pg_role FROM aurora_kerberos.pgadmap_read_mapping()"
    for sid, role in cloud.databases.server(cluster).sql(mappings):
        for directory in cloud.directories.all():
            data = cloud.directories.data(directory.directory_id)
            for user in data.users_in(sid):
                found.setdefault(role, []).append(f"{user}@{directory.name.upper()}")
    return found


def published(cloud: Cloud, cluster: str) -> str:
    """The krb5.conf that step 8 has published for clients of a cluster.

    Before that a client has to know by itself what its directory is.
    """
    deployed = cloud.deployed[places.present()]
    name = f"{deployed.parameters.get('ParameterPrefix', '/aurora-kerberos')}/clients/{cluster}/krb5.conf"
    found = cloud.client("ssm").get_parameters(Names=[name])["Parameters"]
    if found:
        return str(found[0]["Value"])
    return krb5.conf({cloud.directories.all()[0].name: []})
