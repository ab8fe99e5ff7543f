"""A scenario: the cloud at the start, what happens, and what must be true at the end.

The demo, the workflow tests and a user's own rehearsal all run scenarios. `docs/scenarios.md` is made from the models
here.
"""

from __future__ import annotations

import base64
import json
import shlex
import time as clock
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from botocore.exceptions import ClientError
from moto.ds import models as moto_ds
from moto.rds.models import DomainMembership
from moto.secretsmanager.models import secretsmanager_backends
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from aurora_kerberos.service_role import trust_policy
from local import directory_sharing, expected_steps, network, organizations, places, rds, scheduler, secrecy, stack
from local.aws import HOME, Call
from local.cloud import Cloud, Delivery, Takes
from local.executions import Execution
from local.faults import Fault, Faults
from local.login import Login, login
from local.members import deploy as deploy_member
from local.moments import Listener, Moment
from local.network import Vpc
from local.organizations import Organization
from local.places import Place

MASTER = "postgres"
MASTER_PASSWORD = "Not-In-Any-Log-7"  # noqa: S105  of the local run's databases alone
RECORD = {"dynamodb"}  # the registry with its leases


class Part(BaseModel):
    """A part of a scenario; unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Membership(Part):
    """A domain membership that is there at the start."""

    directory: str = Field(description="DNS name or id of the directory.")
    status: str = "kerberos-enabled"
    role: str = "aurora-kerberos-directory-access"


class Placed(Part):
    """A part that is in an account and a Region."""

    account: str = HOME
    region: str = places.HOME.region

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.account, self.region)


class Member(Part):
    """An account with a stack of its own, in the default VPC of each of its Regions."""

    account: str
    regions: list[str] = Field(min_length=1)
    parameters: dict[str, str] = Field(
        default_factory=dict, description="Of the stacks; for what is not said, those of `settings` but for `Rollout`."
    )


class Cluster(Placed):
    """An Aurora cluster that is there at the start, with a real PostgreSQL behind it."""

    id: str
    engine: str = "aurora-postgresql"
    version: str = "16.4"
    status: str = Field("available", description="As RDS words it.")
    becomes_available: int | None = Field(None, description="Virtual seconds until the status is `available`.")
    vpc: bool | str = Field(True, description="Name of its VPC; true: the functions' own, false: none.")
    lets_in: list[str] | None = Field(
        None,
        description="CIDRs that its security group lets in at its port, its VPC's when not said. `list:10.0.0.0/8` is "
        "a prefix list with that CIDR.",
    )
    lets_out: list[str] = Field(["0.0.0.0/0"], description="CIDRs that its security group lets out to, likewise.")
    instances: list[str] | None = Field(None, description="The first is the writer; two when not said.")
    instance_status: dict[str, str] = Field(default_factory=dict, description="Of those that are not `available`.")
    tags: dict[str, str] = Field(default_factory=dict)
    master_secret: str = Field("managed", description="`managed` by RDS, the name of a secret to make, or `none`.")
    sql: list[str] = Field(default_factory=list, description="Statements run long before, by the superuser.")
    data_api: bool = Field(False, description="Whether its HTTP endpoint is on (RDS Data API).")
    secondary: bool = Field(False, description="Whether it only follows the primary of a global database.")
    parameter_group: str = Field("", description="One of `parameter_groups`; AWS's default when not said.")
    made: date = Field(date(2025, 1, 5), description="The day on which it and its instances were made.")
    failing_joins: int = Field(0, description="How many attempts to join a domain fail.")
    membership: Membership | None = None


class ExistingTrust(Part):
    """A trust that is there at the start, with its conditional forwarder."""

    domain: str
    direction: str = Field("One-Way: Outgoing", description="As AWS words it.")
    state: str = Field("Verified", description="As AWS words it.")
    dns_ips: list[str] = Field(default_factory=list, description="When empty, there is no conditional forwarder.")


class Directory(Placed):
    """An AWS Managed Microsoft AD that is there at the start, with a real KDC behind it."""

    dns_name: str
    stage: str = "Active"
    type: str = "MicrosoftAD"
    account: str = Field(
        HOME, description="In another account's that has no stack, there is the role of directory-account.yaml."
    )
    vpc: str = Field("default", description="Name of its VPC; when not said, one of its account.")
    lets_in: list[str] | None = Field(
        None, description="CIDRs that its security group lets in at the ports of a directory; its VPC's when not said."
    )
    users: list[str] = Field(default_factory=list)
    groups: dict[str, list[str]] = Field(default_factory=dict, description="Group → members, users or other groups.")
    data_access: str = Field("Disabled", description="As AWS words it.")
    trusts: list[ExistingTrust] = Field(default_factory=list)
    shared: str = Field("", description="Status of a share with the stack's account, made by hand; as AWS words it.")


class OnPremises(Part):
    """A domain outside AWS that is there at the start, with a real KDC; its administrator makes its side of a trust."""

    domain: str
    dns_ips: list[str] = Field(default_factory=lambda: ["10.99.0.10", "10.99.0.11"])
    users: list[str] = Field(default_factory=list)
    trust_password: str = Field("", description="Of the trust; when empty, its side of the trust is not made yet.")


class Role(Part):
    """An IAM role that is there at the start."""

    trusts: list[str] | None = Field(None, description="Service principals; those of the guide when not said.")
    policy: bool = Field(True, description="Whether AmazonRDSDirectoryServiceAccess is attached.")
    path: str = "/"


class AtStart(Part):
    """The accounts before anything happens.

    What is elsewhere than at home is written `account/region/name`: a secret `222222222222/eu-west-1/orders/master`,
    the parameter `/aurora-kerberos/settings` as `222222222222/eu-west-1/aurora-kerberos/settings`. So are clusters and
    directories in what happens, and in what must be true.
    """

    members: list[Member] = Field(default_factory=list)
    vpcs: list[Vpc] = Field(default_factory=list)
    clusters: list[Cluster] = Field(default_factory=list)
    directories: list[Directory] = Field(default_factory=list)
    snapshots: dict[str, str] = Field(default_factory=dict, description="Snapshot → the cluster it is of.")
    parameter_groups: dict[str, str] = Field(
        default_factory=dict, description="DB cluster parameter group → its shared_preload_libraries."
    )
    security_groups: list[str] = Field(
        default_factory=list, description="Names; each lets its VPC in. An execution's input means one by `$name`."
    )
    on_premises: list[OnPremises] = Field(default_factory=list)
    organization: str | Organization = Field(
        "", description="What all accounts are in; or just its management account's number."
    )
    roles: dict[str, Role] = Field(default_factory=dict)
    secrets: dict[str, Any] = Field(default_factory=dict, description="Secrets of Secrets Manager; their JSON.")
    secrets_key: str = Field("", description="ARN of the KMS key they are under; AWS's own when not said.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="SSM parameters; their JSON.")
    keytabs: dict[str, str] = Field(default_factory=dict, description="Secret name → principal whose keytab it holds.")
    faults: list[Fault] = Field(default_factory=list)
    events: Delivery = Field("once", description="What becomes of tag events; EventBridge does its best, no more.")


class Tag(Part):
    """Somebody tags a cluster; EventBridge hears of it."""

    tag: str = Field(description="The cluster.")
    with_: Annotated[dict[str, str], Field(alias="with")]


class Untag(Part):
    """Somebody takes tags off a cluster."""

    untag: str = Field(description="The cluster.")
    keys: list[str]


class Start(Part):
    """Somebody starts an execution with this input."""

    start: dict[str, Any]
    account: str = HOME
    region: str = places.HOME.region


class StartFile(Part):
    """Somebody starts an execution with the input in a JSON file, named relative to the scenario's."""

    start_file: str


class Users(Part):
    """An administrator creates users in a directory (step 4 of the guide)."""

    create_users: list[str]
    directory: str


class MakeTrust(Part):
    """An on-premises administrator makes his side of the trust."""

    make_trust: str = Field(description="The on-premises domain.")
    password: str


class Leaves(Part):
    """An administrator takes a user out of a group of a directory."""

    leaves: str
    group: str
    directory: str


class StoreKeytab(Part):
    """An administrator stores the keytab of a principal in a secret."""

    store_keytab: str = Field(description="Name of the secret.")
    principal: str


class JoinInMaintenanceWindow(Part):
    """Somebody else lets a cluster join a directory's domain, but not at once."""

    join_in_maintenance_window: str = Field(description="The cluster.")
    directory: str
    role: str = "aurora-kerberos-directory-access"


class Answer(Part):
    """Somebody runs the command of the last notification that approves, or the one that refuses."""

    answer: Literal["approve", "refuse"]


class LeaveDomain(Part):
    """Somebody else takes a cluster out of its domain."""

    leave_domain: str = Field(description="The cluster.")


class SetParameter(Part):
    """Somebody writes an SSM parameter."""

    set_parameter: str
    to: Any = Field(description="Its JSON.")


class RollOut(Part):
    """Somebody starts a rollout with this input, in the stack at home; `$name` is an organizational unit's id."""

    roll_out: dict[str, Any]


class Restart(Part):
    """Somebody restarts instances, one after the other."""

    restart: list[str]


class Stop(Part):
    """Somebody stops an execution."""

    stop: int = Field(description="Which one: 1 is the first that was started.")


class Redrive(Part):
    """Somebody redrives an execution that did not succeed."""

    redrive: int = Field(description="Which one: 1 is the first that was started.")


class Wait(Part):
    """Time passes: virtual seconds, or `quiet` for until nothing happens any more."""

    wait: int | Literal["quiet"]


Happening = (
    Tag
    | Untag
    | Start
    | StartFile
    | Stop
    | Redrive
    | Users
    | Leaves
    | MakeTrust
    | StoreKeytab
    | JoinInMaintenanceWindow
    | RollOut
    | Answer
    | LeaveDomain
    | SetParameter
    | Restart
    | Wait
)


class ExpectedExecution(Part):
    """What must be true of an execution; texts need only be contained."""

    status: str = "SUCCEEDED"
    error: str = ""
    message: str = ""
    remedy: str = ""
    steps: list[str] | str | None = Field(
        None,
        description="The steps visited, all of them, in order. `to EnsureNetwork`: each step on the way from the first "
        "to this one, once, as `statemachine/cluster.steps.yaml` has them, then what the status means: `RecordOutcome` "
        "with `Succeeded` or `Failed`, or nothing when it was stopped.",
    )
    waits: list[int] | None = Field(None, description="The seconds of all waits, in order.")
    retries: int | None = Field(None, description="How many failed tasks were tried again.")
    changes: list[str] | None = Field(
        None, description="The calls by which it changed something in AWS, in order; the record of the outcome is none."
    )

    @field_validator("steps")
    @classmethod
    def _of_the_state_machine(cls, said: list[str] | str | None) -> list[str] | str | None:
        if isinstance(said, str):
            expected_steps.expected(said, "", stack.definition())
        return said


class ExpectedLogin(Part):
    """A person logs in with a Kerberos ticket, or is refused with this text."""

    cluster: str
    principal: str
    role: str = Field("", description="Database role that a group of the principal's is mapped to.")
    refused: str = ""


class ExpectedRollout(Part):
    """What must be true of a rollout; of one without `counts` the report is not looked at."""

    status: str = "SUCCEEDED"
    counts: dict[str, int] | None = Field(None, description="Clusters by what became of them, as the report has it.")
    waves: list[int] | None = Field(None, description="How many clusters each wave has enrolled.")
    refused: list[str] = Field(default_factory=list, description="`account/region`s that could not be looked at.")
    stopped: str = Field("", description="Contained in the reason why it was stopped.")


class Expected(Part):
    """What must be true at the end."""

    rollouts: list[ExpectedRollout] = Field(default_factory=list, description="All of them, in order.")

    executions: list[ExpectedExecution] | None = Field(None, description="All of them, in order; left out: whatever.")
    registry: dict[str, dict[str, str]] = Field(default_factory=dict, description="Cluster → fields; contained.")
    tags: dict[str, dict[str, str | None]] = Field(default_factory=dict, description="Cluster → tags; null: absent.")
    memberships: dict[str, str] = Field(default_factory=dict, description="Cluster → status, of all its instances too.")
    logins: list[ExpectedLogin] = Field(default_factory=list)
    notifications: list[str] | None = Field(None, description="Texts contained in the notifications, in order.")
    unchanged: bool = Field(False, description="Nothing was changed in AWS but the record of the outcome.")
    calls: dict[str, int] = Field(default_factory=dict, description="`rds:ModifyDBCluster` → how often it succeeded.")


class Scenario(Part):
    """A scenario file."""

    scenario: str = Field(description="Its name: one line.")
    about: str = Field("", description="What it shows.")
    settings: dict[str, str] = Field(default_factory=dict, description="Parameters of the stack.")
    takes: Takes = Field(default_factory=Takes)
    schedules: bool = Field(False, description="Whether EventBridge Scheduler runs what the template has scheduled.")
    cloud: AtStart = Field(default_factory=AtStart)
    happens: list[Happening]
    expect: Expected


@dataclass(frozen=True)
class Check:
    """One thing that had to be true, and what was."""

    check: str
    passed: bool
    got: str


@dataclass
class Result:
    """What came of a scenario.

    `leaked` are the secrets that can be read afterwards in histories, logs, tags, registry, notifications or reports.
    `logs` is all that the functions have written.
    """

    scenario: Scenario
    checks: list[Check]
    executions: list[Execution]
    logins: list[Login]
    moments: list[Moment]
    calls: list[Call]
    leaked: list[str]
    logs: str
    virtual_seconds: float
    real_seconds: float

    @property
    def passed(self) -> bool:
        """Whether all is true that must be."""
        return all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON, for `--json` and the report."""
        return {
            "scenario": self.scenario.scenario,
            "passed": self.passed,
            "checks": [vars(check) for check in self.checks],
            "executions": [
                {**each.as_dict(), "changes": changes(call for call in self.calls if call.execution == each.name)}
                for each in self.executions
            ],
            "logins": [each.as_dict() for each in self.logins],
            "calls": [f"{call.function} {call.name} {call.error}".rstrip() for call in self.calls],
            "changes": changes(self.calls),
            "virtual_seconds": self.virtual_seconds,
            "real_seconds": round(self.real_seconds, 3),
        }


def read(path: Path) -> Scenario:
    """The scenario in a YAML file; `start_file` is resolved.

    Raises:
        pydantic.ValidationError: it does not have the documented form.
    """
    scenario = TypeAdapter(Scenario).validate_python(yaml.safe_load(path.read_text()))
    happens = [
        Start(start=json.loads((path.parent / each.start_file).read_text())) if isinstance(each, StartFile) else each
        for each in scenario.happens
    ]
    return scenario.model_copy(update={"happens": happens})


def rehearse(scenario: Scenario, listener: Listener | None = None) -> Result:
    """Run a scenario in a cloud of its own."""
    began = clock.monotonic()
    with Cloud(scenario.settings, scenario.takes, listener) as cloud:
        prepare(cloud, scenario.cloud)
        if scenario.schedules:
            begin_schedules(cloud)
        impossible = happen_all(cloud, scenario.happens)
        cloud.run()
        logins = [login(cloud, each.cluster, each.principal, each.role) for each in scenario.expect.logins]
        return Result(
            scenario=scenario,
            checks=[*impossible, *checks(cloud, scenario.expect, logins)],
            executions=list(cloud.executions.values()),
            logins=logins,
            moments=cloud.moments,
            calls=[call for call in cloud.calls if call.function],
            logs=cloud.functions.logs(),
            leaked=secrecy.leaked(secrecy.secrets(cloud), secrecy.written(cloud)),
            virtual_seconds=cloud.clock.now,
            real_seconds=clock.monotonic() - began,
        )


def begin_schedules(cloud: Cloud) -> None:
    """Let every stack's schedules run."""
    for place, deployed in cloud.deployed.items():
        with places.at(place):
            scheduler.begin(cloud, scheduler.schedules(stack.plain(), deployed.parameters))


# --- the cloud at the start -------------------------------------------------------------------------------------------


def prepare(cloud: Cloud, start: AtStart) -> None:
    """Make what is there at the start."""
    for member in start.members:
        add_member(cloud, member)
    cloud.networks.add(start.vpcs)
    if start.organization:
        there = [place.account for place in cloud.deployed]
        there += [each.account for each in (*start.clusters, *start.directories)]
        organizations.found(cloud, start.organization, there)
    for domain in start.on_premises:
        cloud.directories.add_on_premises(domain.domain, domain.dns_ips, domain.trust_password)
        create_users(cloud, domain.domain, domain.users)
    for directory in start.directories:
        add_directory(cloud, directory)
    for name in start.security_groups:
        made = cloud.client("ec2").create_security_group(GroupName=name, Description=name, VpcId=cloud.vpc)
        cloud.named[name] = made["GroupId"]
        tcp = {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535}
        network.open_group(cloud, cloud.home, made["GroupId"], network.cidrs_of(cloud, cloud.home, cloud.vpc), tcp)
    for group, libraries in start.parameter_groups.items():
        with places.of(group) as name:
            add_parameter_group(cloud, name, libraries)
    for cluster in start.clusters:
        add_cluster(cloud, cluster)
    for snapshot, cluster_id in start.snapshots.items():
        with places.of(snapshot) as name:
            cloud.client("rds").create_db_cluster_snapshot(
                DBClusterSnapshotIdentifier=name, DBClusterIdentifier=cluster_id
            )
    for role_name, role in start.roles.items():
        with places.of(role_name) as name:
            add_role(cloud, name, role)
    put_contents(cloud, start)
    if start.secrets_key:
        encrypt_secrets(cloud, start.secrets_key)
    # All that was long ago: nobody counts it, and nothing went wrong.
    cloud.roles_made.clear()
    cloud.calls.clear()
    cloud.faults = Faults(start.faults)
    cloud.delivery = start.events


def add_member(cloud: Cloud, member: Member) -> None:
    """Deploy an account's stacks: the member template, if rollouts may come there."""
    alike = {name: value for name, value in cloud.parameters.items() if name != "Rollout"}
    parameters = {**alike, **member.parameters}
    for region in member.regions:
        if parameters.get("ManagementAccountId"):
            deploy_member(cloud, Place(member.account, region), parameters)
        else:
            cloud.deploy(member.account, region, parameters)


def put_contents(cloud: Cloud, start: AtStart) -> None:
    """Write the secrets and parameters that were written long ago."""
    for secret, content in start.secrets.items():
        text = content if isinstance(content, str) else json.dumps(content)
        with places.of(secret) as name:
            cloud.client("secretsmanager").create_secret(Name=name, SecretString=text)
    for parameter, content in start.parameters.items():
        put_parameter(cloud, parameter, content if isinstance(content, str) else json.dumps(content))
    for name, principal in start.keytabs.items():
        store_keytab(cloud, name, principal)


def encrypt_secrets(cloud: Cloud, key: str) -> None:
    """Put all secrets at home that people have made under a KMS key."""
    for secret in secretsmanager_backends[cloud.account][cloud.region].secrets.values():
        if not secret.name.startswith("rds!"):
            secret.kms_key_id = key


def add_directory(cloud: Cloud, directory: Directory) -> None:
    """A directory that was made long ago, in its account and Region."""
    with places.at(directory.place):
        add_directory_here(cloud, directory)


def add_directory_here(cloud: Cloud, directory: Directory) -> None:
    """A directory of the present account and Region."""
    placed = cloud.networks.named(directory.vpc)
    if directory.account != cloud.home and directory.place not in cloud.deployed:
        stack.deploy_directory_account(cloud, directory.account)
    backend = moto_ds.ds_backends[cloud.account][cloud.region]
    made = backend.create_microsoft_ad(
        region=cloud.region,
        name=directory.dns_name,
        short_name="",
        password=MASTER_PASSWORD,
        description="",
        vpc_settings={"VpcId": placed.vpc, "SubnetIds": placed.subnets[:2]},
        edition="Standard",
        tags=[],
    )
    found = backend.directories[made]
    network.furnish_directory(cloud, found, directory.lets_in)
    if directory.stage == "Active" and directory.type == "MicrosoftAD":
        cloud.directories.activate(found)
        create_users(cloud, found.directory_id, directory.users)
        add_groups(cloud, found.directory_id, directory.groups)
        for trust in directory.trusts:
            add_trust(cloud, found, trust)
    cloud.directories.data(found.directory_id).access = directory.data_access
    if directory.shared:
        share = directory_sharing.new_share(cloud, found, cloud.home, method="HANDSHAKE", status=directory.shared)
        directory_sharing.show(cloud, share)
    found.stage, found.directory_type = directory.stage, directory.type


def add_parameter_group(cloud: Cloud, name: str, libraries: str) -> None:
    """A DB cluster parameter group that was made long ago."""
    client = cloud.client("rds")
    client.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=name, DBParameterGroupFamily="aurora-postgresql16", Description=name
    )
    value = {"ParameterName": "shared_preload_libraries", "ParameterValue": libraries, "ApplyMethod": "pending-reboot"}
    client.modify_db_cluster_parameter_group(DBClusterParameterGroupName=name, Parameters=[value])


def add_trust(cloud: Cloud, directory: Any, trust: ExistingTrust) -> None:
    """A trust that was made long ago; when it is verified, the KDCs know it as well."""
    other = cloud.directories.on_premises.get(trust.domain)
    password = other.password if other else MASTER_PASSWORD
    made = moto_ds.Trust(directory.directory_id, trust.domain, password, trust.direction, "Forest", trust.dns_ips, None)
    made.trust_state = trust.state
    directory.trusts.append(made)
    if trust.dns_ips:
        cloud.directories.forwarders(directory.directory_id)[trust.domain] = {"DnsIpAddrs": trust.dns_ips}
    if other and trust.state == "Verified":
        cloud.directories.let_trust(directory, trust.domain, password)


def add_cluster(cloud: Cloud, cluster: Cluster) -> None:
    """A cluster that was made long ago, with its instances and its PostgreSQL."""
    with places.at(cluster.place):
        client = cloud.client("rds")
        managed = cluster.master_secret == "managed"  # noqa: S105  a word of the scenario format
        password = {"ManageMasterUserPassword": True} if managed else {"MasterUserPassword": MASTER_PASSWORD}
        placed = cloud.networks.named(cluster.vpc if isinstance(cluster.vpc, str) else "default")
        group = cloud.client("ec2").create_security_group(
            GroupName=f"{cluster.id}-database", Description="database", VpcId=placed.vpc
        )["GroupId"]
        client.create_db_cluster(
            DBClusterIdentifier=cluster.id,
            Engine=cluster.engine,
            EngineVersion=cluster.version if cluster.engine == "aurora-postgresql" else "8.0.mysql_aurora.3.07.1",
            MasterUsername=MASTER,
            VpcSecurityGroupIds=[group],
            DBSubnetGroupName=cloud.subnet_group_of(placed),
            DBClusterParameterGroupName=cluster.parameter_group or f"default.{cluster.engine}16",
            Tags=[{"Key": key, "Value": value} for key, value in cluster.tags.items()],
            **password,
        )
        made = rds.cluster_of(cloud, cluster.id)
        made.created = made.cluster_create_time = made.earliest_restorable_time = datetime.combine(cluster.made, time())
        made._enable_http_endpoint = cluster.data_api
        if cluster.secondary:
            cloud.secondaries.add(places.written(cluster.id))
        for name in cluster.instances if cluster.instances is not None else [f"{cluster.id}-1", f"{cluster.id}-2"]:
            client.create_db_instance(
                DBInstanceIdentifier=name,
                DBClusterIdentifier=cluster.id,
                Engine=cluster.engine,
                DBInstanceClass="db.r6g.large",
            )
            instance = rds.backend(cloud).databases[name]
            instance.instance_create_time = made.created
            instance.status = cluster.instance_status.get(name, "available")
        if not cluster.vpc:
            made.db_subnet_group_name, made.vpc_security_group_ids = None, []
        made.status = cluster.status
        if cluster.becomes_available is not None:
            cloud.clock.call_later(cluster.becomes_available, lambda: setattr(made, "status", "available"))
        cloud.failing_joins[places.written(cluster.id)] = cluster.failing_joins
        add_master_secret(cloud, cluster, made)
        network.furnish_cluster(cloud, made, group, cluster.lets_in, cluster.lets_out)
        if cluster.membership:
            add_membership(cloud, cluster.membership, made)


def add_master_secret(cloud: Cloud, cluster: Cluster, made: Any) -> None:
    """The master user's secret, and the database that knows the same password."""
    password = MASTER_PASSWORD
    if cluster.master_secret == "managed":  # noqa: S105  a word of the scenario format
        secret = cloud.client("secretsmanager").get_secret_value(SecretId=made.master_user_secret.secret_arn)
        password = json.loads(secret["SecretString"])["password"]
    elif cluster.master_secret != "none":  # noqa: S105  a word of the scenario format
        cloud.client("secretsmanager").create_secret(
            Name=cluster.master_secret, SecretString=json.dumps({"username": MASTER, "password": password})
        )
    made.port = cloud.databases.add(cluster.id, MASTER, password, cluster.sql)


def add_membership(cloud: Cloud, membership: Membership, made: Any) -> None:
    """The cluster joined, or tried to, long ago."""
    directory = cloud.directories.find(membership.directory).directory_id
    for member in rds.members(made):
        member.domain_memberships = [DomainMembership(directory, membership.role)]
    rds.set_status(made, membership.status)
    if membership.status == "kerberos-enabled":
        cloud.databases.join(
            made.resource_id, [made.endpoint, made.reader_endpoint], cloud.directories.realm(directory)
        )
        cloud.databases.restart(made.resource_id)


def add_role(cloud: Cloud, name: str, role: Role) -> None:
    """A role that was made long ago."""
    iam = cloud.client("iam")
    policy = json.loads(trust_policy(cloud.region))
    if role.trusts is not None:
        policy["Statement"][0]["Principal"]["Service"] = role.trusts
    iam.create_role(RoleName=name, Path=role.path, AssumeRolePolicyDocument=json.dumps(policy))
    if role.policy:
        arn = "arn:aws:iam::aws:policy/service-role/AmazonRDSDirectoryServiceAccess"
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)


def put_parameter(cloud: Cloud, parameter: str, value: str, **more: Any) -> None:
    """Write an SSM parameter; one elsewhere has its own slash after the Region."""
    place, name = places.split(parameter)
    with places.at(place):
        name = parameter if name == parameter else f"/{name}"
        cloud.client("ssm").put_parameter(Name=name, Type="String", Value=value, **more)


def create_users(cloud: Cloud, directory: str, users: list[str]) -> None:
    """Users of a directory are principals of its KDC."""
    for user in users:
        cloud.directories.add_user(directory, user)


def add_groups(cloud: Cloud, directory: str, groups: Mapping[str, list[str]]) -> None:
    """Groups that were made long ago."""
    data = cloud.directories.data(directory)
    for name, members in groups.items():
        data.add("GROUP", name, members=[member.lower() for member in members])
        data.show(name)


def store_keytab(cloud: Cloud, secret: str, principal: str) -> None:
    """A principal's keytab as `verify_login` wants it in a secret, beside his directory."""
    name, _, realm = principal.rpartition("@")
    path = cloud.databases.folder / f"{name}.keytab"
    with places.of(secret) as secret_name:
        cloud.directories.realm(realm.lower()).keytab(path, name)
        content = json.dumps({"keytab": base64.b64encode(path.read_bytes()).decode()})
        path.unlink()
        cloud.client("secretsmanager").create_secret(Name=secret_name, SecretString=content)


# --- what happens -----------------------------------------------------------------------------------------------------


def happen_all(cloud: Cloud, happenings: list[Happening]) -> list[Check]:
    """Let one thing happen after the other; a failed check for the first that could not, and the rest left out."""
    for happening in happenings:
        try:
            happen(cloud, happening)
        except (LookupError, RuntimeError, ClientError) as error:
            return [Check(f"what happens can happen: {happening!r}", passed=False, got=str(error))]
    return []


def happen(cloud: Cloud, happening: Happening) -> None:  # noqa: PLR0912, PLR0915  a case for each happening
    """Let one thing happen now."""
    match happening:
        case Tag():
            cloud.happened(f"somebody tags {happening.tag} {happening.with_}")
            with places.of(happening.tag) as name:
                cloud.client("rds").add_tags_to_resource(
                    ResourceName=cloud.cluster_arn(name),
                    Tags=[{"Key": key, "Value": value} for key, value in happening.with_.items()],
                )
        case Untag():
            cloud.happened(f"somebody takes {', '.join(happening.keys)} off {happening.untag}")
            with places.of(happening.untag) as name:
                cloud.client("rds").remove_tags_from_resource(
                    ResourceName=cloud.cluster_arn(name), TagKeys=happening.keys
                )
        case Start():
            with places.at(Place(happening.account, happening.region)):
                cloud.start(resolved(happening.start, cloud.named))
        case Stop():
            name = execution_named(cloud, happening.stop)
            cloud.happened(f"somebody stops {name}")
            cloud.stop(name)
        case Redrive():
            name = execution_named(cloud, happening.redrive)
            cloud.happened(f"somebody redrives {name}")
            cloud.redrive(name)
        case Users():
            cloud.happened(f"an administrator creates {', '.join(happening.create_users)} in {happening.directory}")
            with places.of(happening.directory) as name:
                create_users(cloud, name, happening.create_users)
        case MakeTrust():
            cloud.directories.on_premises[happening.make_trust].password = happening.password
            cloud.happened(f"the administrator of {happening.make_trust} makes his side of the trust")
        case Leaves():
            cloud.happened(f"an administrator takes {happening.leaves} out of {happening.group}")
            with places.of(happening.directory) as name:
                data = cloud.directories.data(cloud.directories.find(name).directory_id)
            data.true[happening.group].members.remove(happening.leaves)
            data.written(cloud, happening.group)
        case StoreKeytab():
            store_keytab(cloud, happening.store_keytab, happening.principal)
            cloud.happened(f"an administrator stores the keytab of {happening.principal}")
        case JoinInMaintenanceWindow():
            cloud.happened(f"somebody lets {happening.join_in_maintenance_window} join in the maintenance window")
            with places.of(happening.join_in_maintenance_window) as name:
                cloud.client("rds").modify_db_cluster(
                    DBClusterIdentifier=name,
                    Domain=cloud.directories.find(happening.directory).directory_id,
                    DomainIAMRoleName=happening.role,
                )
        case RollOut():
            asked = resolved(happening.roll_out, cloud.named)
            cloud.start_execution(cloud.outputs["RolloutStateMachine"], asked)
        case Answer():
            cloud.happened(f"somebody runs the command to {happening.answer}")
            run_command(cloud, {"approve": "send-task-success", "refuse": "send-task-failure"}[happening.answer])
        case LeaveDomain():
            cloud.happened(f"somebody takes {happening.leave_domain} out of its domain")
            with places.of(happening.leave_domain) as name:
                cloud.client("rds").modify_db_cluster(DBClusterIdentifier=name, Domain="none", ApplyImmediately=True)
        case SetParameter():
            cloud.happened(f"somebody writes the parameter {happening.set_parameter}")
            put_parameter(cloud, happening.set_parameter, json.dumps(happening.to), Overwrite=True)
        case Restart():
            for instance in happening.restart:
                cloud.happened(f"somebody restarts {instance}")
                with places.of(instance) as name:
                    cloud.client("rds").reboot_db_instance(DBInstanceIdentifier=name)
                cloud.run(cloud.clock.now + cloud.takes.restart)
        case Wait():
            cloud.run(None if happening.wait == "quiet" else cloud.clock.now + happening.wait)


def run_command(cloud: Cloud, operation: str) -> None:
    """Run a command of the AWS CLI as the last notification has it: its options are the operation's parameters."""
    (*_, call) = (call for call in cloud.calls if call.name == "sns:Publish")
    lines = str(call.parameters["Message"]).splitlines()
    (command,) = (line for line in lines if line.startswith(f"aws stepfunctions {operation} "))
    words = shlex.split(command)[3:]
    options = dict(zip(words[::2], words[1::2], strict=True))
    if options.pop("--region") != call.region:
        raise ValueError(f"The command is for another Region: {command}")
    parameters = {parameter_of(name.removeprefix("--")): value for name, value in options.items()}
    getattr(cloud.client("stepfunctions", *call.place), operation.replace("-", "_"))(**parameters)


def parameter_of(option: str) -> str:
    """The parameter behind an option: `--task-token` is `taskToken`.

    `--output` is the CLI's own: what SendTaskSuccess calls so has another name there.
    """
    first, *others = option.split("-")
    return "output" if option == "task-output" else first + "".join(each.capitalize() for each in others)


def execution_named(cloud: Cloud, number: int) -> str:
    """The name of the n-th execution that was started.

    Raises:
        LookupError: there are not so many.
    """
    return list(cloud.executions)[number - 1]


def resolved(value: Any, named: Mapping[str, str]) -> Any:
    """The value with every `$name` in it replaced by what has that name."""
    match value:
        case dict():
            return {key: resolved(each, named) for key, each in value.items()}
        case list():
            return [resolved(each, named) for each in value]
        case str() if value.startswith("$"):
            return named[value[1:]]
    return value


# --- what must be true ------------------------------------------------------------------------------------------------


def checks(cloud: Cloud, expect: Expected, logins: list[Login]) -> Iterator[Check]:
    """All that must be true, one by one."""
    executions = list(cloud.executions.values())
    if expect.executions is not None:
        yield same("number of executions", len(expect.executions), len(executions))
    for expected, execution in zip(expect.executions or [], executions, strict=False):
        yield from check_execution(expected, execution)
        if expected.changes is not None:
            made = changes(call for call in cloud.calls if call.execution == execution.name)
            yield same(f"{execution.name}: changes", expected.changes, made)
    for wanted_rollout, execution in zip(expect.rollouts, rollouts(executions), strict=True):
        yield from check_rollout(cloud, wanted_rollout, execution)
    for cluster, fields in expect.registry.items():
        item = registry_item(cloud, cluster)
        for name, text in fields.items():
            what, got = f"registry of {cluster}: {name}", item.get(name, "")
            yield contains(what, text, got) if text else same(what, text, got)
    for cluster, tags in expect.tags.items():
        with places.of(cluster) as identifier:
            found = {tag["Key"]: tag["Value"] for tag in rds.cluster_of(cloud, identifier).get_tags()}
        yield from (same(f"tag {key} of {cluster}", value, found.get(key)) for key, value in tags.items())
    for cluster, status in expect.memberships.items():
        with places.of(cluster) as identifier:
            everyone = rds.members(rds.cluster_of(cloud, identifier))
        found_statuses = {each.domain_memberships[0].status if each.domain_memberships else "none" for each in everyone}
        yield same(f"membership of {cluster} and its instances", status, " ".join(sorted(found_statuses)))
    for wanted, done in zip(expect.logins, logins, strict=True):
        yield check_login(wanted, done)
    sent = [str(call.parameters["Message"]) for call in cloud.calls if call.name == "sns:Publish" and not call.error]
    if expect.notifications is not None:
        yield same("number of notifications", len(expect.notifications), len(sent))
        yield from (contains("notification", text, got) for text, got in zip(expect.notifications, sent, strict=False))
    if expect.unchanged:
        yield same("changes made in AWS", [], changes(cloud.calls))
    for name, times in expect.calls.items():
        count = sum(call.name == name and not call.error for call in cloud.calls if call.function)
        yield same(f"successful calls of {name}", times, count)


def check_execution(expected: ExpectedExecution, execution: Execution) -> Iterator[Check]:
    """What must be true of one execution."""
    name = execution.name
    yield same(f"{name}: status", expected.status, execution.status)
    yield same(f"{name}: error", expected.error, execution.error)
    text = execution.cause or json.dumps(execution.output)
    for part in filter(None, (expected.message, expected.remedy)):
        yield contains(f"{name}: outcome", part, text)
    if expected.steps is not None:
        steps = expected_steps.expected(expected.steps, expected.status, stack.definition())
        yield same(f"{name}: steps", steps, execution.steps)
    if expected.waits is not None:
        yield same(f"{name}: waits", expected.waits, [int(seconds) for _, seconds in execution.waits])
    if expected.retries is not None:
        yield same(f"{name}: retries", expected.retries, len(execution.retries))


def rollouts(executions: Iterable[Execution]) -> list[Execution]:
    """Those of the executions that are rollouts."""
    return [execution for execution in executions if ":aurora-kerberos-rollout:" in execution.arn]


def check_rollout(cloud: Cloud, expected: ExpectedRollout, execution: Execution) -> Iterator[Check]:
    """What must be true of one rollout, by its report."""
    name, bucket = execution.name, cloud.outputs["RolloutBucket"]
    yield same(f"rollout {name}: status", expected.status, execution.status)
    if expected.counts is None:
        return
    report = json.loads(cloud.client("s3").get_object(Bucket=bucket, Key=f"{name}/report.json")["Body"].read())
    yield same(f"rollout {name}: clusters", expected.counts, report["counts"])
    yield same(f"rollout {name}: waves", expected.waves, [wave["size"] for wave in report["waves"]])
    refused = [f"{each['account']}/{each['region']}" for each in report["refused"]]
    yield same(f"rollout {name}: not looked at", expected.refused, refused)
    yield contains(f"rollout {name}: stopped", expected.stopped, report["stopped"])


def check_login(expected: ExpectedLogin, done: Login) -> Check:
    """What must be true of one login."""
    what = f"{expected.principal} logs in to {expected.cluster}"
    if expected.refused:
        return contains(f"{what}: refused", expected.refused, done.error)
    passed = done.ok and done.gss_authenticated and done.principal == expected.principal
    return Check(what, passed, done.error or f"as {done.principal}, encrypted: {done.encrypted}")


def changes(calls: Iterable[Call]) -> list[str]:
    """The functions' calls that changed something in AWS, but for the record of the outcome."""
    return [
        f"{call.function} {call.name}"
        for call in calls
        if call.function
        and call.changes
        and not call.error
        and call.service not in RECORD
        and call.function != "RecordOutcome"
    ]


def registry_item(cloud: Cloud, cluster: str) -> Mapping[str, str]:
    """The registry's item of a cluster, in its account and Region; empty when there is none."""
    place, _ = places.split(cluster)
    found = cloud.client("dynamodb", *place).get_item(
        TableName=cloud.deployed[place].outputs["Registry"], Key={"arn": {"S": cloud.cluster_arn(cluster)}}
    )
    return {name: value["S"] for name, value in found.get("Item", {}).items()}


def same(what: str, expected: Any, got: Any) -> Check:
    """The two must be equal."""
    return Check(f"{what} is {expected!r}", expected == got, repr(got))


def contains(what: str, part: str, text: str) -> Check:
    """The text must contain the part."""
    return Check(f"{what} says {part!r}", part in text, text)
