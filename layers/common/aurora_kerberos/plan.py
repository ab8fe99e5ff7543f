"""The plan of one cluster, which `validate_request` makes and all later steps get their arguments of, in its shapes.

All of it is JSON. Texts are empty, and lists too, where there is nothing to say.

The names of the fields are read by the definition of the state machine, also by that of the version before, which runs
on for a while after an upgrade. So a field is never renamed: `way` is what the code calls a creation, and its kind.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from aurora_kerberos.principals import Grant


class Cluster(TypedDict):
    """The cluster: as it is, or as step 6 makes it; then `arn` and `endpoint` are empty until it has.

    Attributes:
        database: the one in which the master user logs in.
        master_secret: name or ARN of the secret with the master user's name and password.
        http_endpoint: whether it can be reached by the RDS Data API.
        secondary: whether it only follows the primary of a global database.
        parameter_group: its DB cluster parameter group.
    """

    id: str
    arn: str
    endpoint: str
    port: int
    database: str
    vpc_id: str
    subnet_ids: list[str]
    subnet_group: str
    security_groups: list[str]
    master_secret: str
    http_endpoint: bool
    secondary: bool
    engine_version: str
    parameter_group: str


class Creation(TypedDict):
    """How step 6 comes to a member of the domain: it modifies the cluster that is there, or makes one.

    Attributes:
        way: which of the guide's ways.
        parameters: of the call that makes the cluster.
        instances: the parameters of each `rds:CreateDBInstance`, the writer's first.
        restarts: the instances of a cluster that is there which will restart, as far as is known beforehand.
    """

    way: Literal["modify", "create", "restore", "restore_to_time"]
    parameters: dict[str, Any]
    instances: list[dict[str, Any]]
    restarts: list[str]


class Network(TypedDict):
    """Where the functions are that log in to databases, and whether more of a network may be made.

    Attributes:
        mode: whether what is missing is made, or only checked.
        login: whether a login will be proven, which needs a way to the directory.
    """

    mode: Literal["managed", "existing"]
    function_security_group: str
    function_vpc_id: str
    function_subnet_ids: list[str]
    login: bool


class WantedDirectory(TypedDict):
    """The directory that is to be found, or created.

    Attributes:
        id: empty when the DNS name says which.
        role: ARN of the role of the directory's account, when that is another one.
        edition: this, the network and the secret are for creating one.
        owners: the accounts whose directories are trusted that they share; a plan of the version before has none.
    """

    id: str
    dns_name: str
    edition: str
    vpc_id: str
    subnet_ids: list[str]
    admin_secret: str
    role: str
    owners: NotRequired[list[str]]


class Directory(TypedDict):
    """The directory that was found: the outputs of `ensure_directory`.

    Attributes:
        owner_account: empty for a directory of this account.
        shared: whether the id is this account's own for a directory that another account shares with it.
        role: ARN of the role of the directory's account, when that is another one.
        warnings: of directories with the same DNS name that were ignored because of who shares them.
    """

    id: str
    realm: str
    dns_name: str
    dns_ips: list[str]
    vpc_id: str
    subnet_ids: list[str]
    security_group: str
    owner_account: str
    shared: bool
    role: str
    warnings: list[str]


class Trust(TypedDict):
    """A trust with an on-premises domain; `password_secret` is the name of the secret with its password."""

    domain: str
    direction: str
    dns_ips: list[str]
    password_secret: str


class DirectoryUsers(TypedDict):
    """The users and groups that the directory is to have, and the groups among the principals, to be looked up."""

    users: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    principal_groups: list[dict[str, Any]]


class Check(TypedDict):
    """Who proves the login, and the secret with `password` or base64 `keytab`; an empty one means nobody."""

    principal: str
    secret: str


class Plan(TypedDict):
    """What both plans have.

    Attributes:
        action: what is to become of the cluster.
        desired: the digest of what it came from.
        apply: when to disturb the cluster.
        client_parameters: prefix of the names of the SSM parameters for clients.
    """

    action: Literal["enable", "disable"]
    desired: str
    apply: str
    cluster: Cluster
    principals: list[Grant]
    network: Network
    client_parameters: str
    warnings: list[str]


class JoinPlan(Plan):
    """The plan of a cluster that is to be a member of the domain.

    Attributes:
        move: whether it may leave another directory's domain.
        service_role: name of the role of step 3.
        share_method: HANDSHAKE or ORGANIZATIONS.
        allowed_roles: reserved roles that may be granted all the same.
    """

    move: bool
    way: Creation
    directory: WantedDirectory
    trusts: list[Trust]
    service_role: str
    directory_users: DirectoryUsers
    share_method: str
    allowed_roles: list[str]
    check: Check
