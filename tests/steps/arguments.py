"""Parts of a plan as steps get them, whole, with what a test says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from aurora_kerberos.plan import Cluster, Creation, Directory, DirectoryUsers, Network, Trust

Part = TypeVar("Part", bound=Mapping[str, Any])


def cluster(**changes: Any) -> Cluster:
    """A cluster that is there; what a step does not look at is made up."""
    whole: Cluster = {
        "id": "orders",
        "arn": "arn:aws:rds:eu-central-1:123456789012:cluster:orders",
        "endpoint": "orders.example",
        "port": 5432,
        "database": "postgres",
        "vpc_id": "vpc-0",
        "subnet_ids": ["subnet-0", "subnet-1"],
        "subnet_group": "databases",
        "security_groups": ["sg-0"],
        "master_secret": "rds!cluster-0",
        "http_endpoint": False,
        "secondary": False,
        "engine_version": "16.4",
        "parameter_group": "default.aurora-postgresql16",
    }
    return with_changes(whole, changes)


def directory(**changes: Any) -> Directory:
    """The outputs of `ensure_directory` for a directory of the cluster's account."""
    whole: Directory = {
        "id": "d-1234567890",
        "realm": "CORP.EXAMPLE.COM",
        "dns_name": "corp.example.com",
        "dns_ips": ["10.0.0.10", "10.0.1.10"],
        "vpc_id": "vpc-0",
        "subnet_ids": ["subnet-0", "subnet-1"],
        "security_group": "sg-1",
        "owner_account": "",
        "shared": False,
        "role": "",
        "warnings": [],
    }
    return with_changes(whole, changes)


def directory_users(**changes: Any) -> DirectoryUsers:
    """Nobody, and no group."""
    whole: DirectoryUsers = {"users": [], "groups": [], "principal_groups": []}
    return with_changes(whole, changes)


def modification(**changes: Any) -> Creation:
    """The way of a cluster that is there."""
    whole: Creation = {"way": "modify", "parameters": {}, "instances": [], "restarts": []}
    return with_changes(whole, changes)


def network(**changes: Any) -> Network:
    """Functions in a network of their own, of which more may be made."""
    whole: Network = {
        "mode": "managed",
        "function_security_group": "sg-2",
        "function_vpc_id": "vpc-0",
        "function_subnet_ids": ["subnet-0", "subnet-1"],
        "login": True,
    }
    return with_changes(whole, changes)


def trust(**changes: Any) -> Trust:
    """A trust that the directory has in the other domain."""
    whole: Trust = {
        "domain": "onprem.example.com",
        "direction": "outgoing",
        "dns_ips": ["10.99.0.10", "10.99.0.11"],
        "password_secret": "aurora-kerberos/onprem.example.com/trust",
    }
    return with_changes(whole, changes)


def with_changes(whole: Part, changes: dict[str, Any]) -> Part:
    """What a test says otherwise; a name that is no field is a mistake in the test."""
    named: dict[str, Any] = dict(whole)
    unknown = changes.keys() - named.keys()
    assert not unknown, f"no such field: {', '.join(sorted(unknown))}"
    return cast(Part, {**named, **changes})
