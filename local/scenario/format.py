"""The format of a scenario file, from which `docs/scenarios.md` is made."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from deploy import templates
from local.core import places
from local.core.calls import HOME
from local.core.cloud import Takes
from local.core.faults import Fault
from local.core.places import Place
from local.scenario import expected_steps
from local.services.ec2.vpcs import Vpc
from local.services.event_bridge import Delivery
from local.services.organizations import Organization


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
    restart_due: bool = Field(False, description="Whether a run has joined it, and was interrupted before the restart.")
    made_here: bool = Field(False, description="Whether the stack of its account has made it.")


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
    the parameter `/aurora-kerberos/users` as `222222222222/eu-west-1/aurora-kerberos/users`. So are clusters and
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
    by: str = Field("alice", description="Who.")


class Untag(Part):
    """Somebody takes tags off a cluster."""

    untag: str = Field(description="The cluster.")
    keys: list[str]


class Start(Part):
    """Somebody starts an execution with this input."""

    start: dict[str, Any]
    by: str = Field("alice", description="Who.")
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
    """Somebody runs the command of the last question's notification that approves, or the one that refuses."""

    answer: Literal["approve", "refuse"]
    by: str = Field("bob", description="Who.")


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
            expected_steps.expected(said, "", templates.definition())
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
