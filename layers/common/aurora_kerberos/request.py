"""What people write: the input of an execution, principals and settings. Only `validate_request` reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    IPvAnyAddress,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from aurora_kerberos import names
from aurora_kerberos.errors import InvalidRequest
from aurora_kerberos.principals import LONGEST_NAME, written

T = TypeVar("T")


def _postgresql_name(name: object) -> object:
    if isinstance(name, str):
        if not name.strip() or name != name.strip():
            raise ValueError("is empty, or begins or ends with white space")
        if not name.isprintable():
            raise ValueError("holds a control character")
        if len(name.encode()) > LONGEST_NAME:
            raise ValueError(f"has {len(name.encode())} bytes; PostgreSQL names have at most {LONGEST_NAME}")
    return name


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a control character")
    return text


def _unscoped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError("has a scope, which means nothing elsewhere")
    return address


Name = Annotated[str, BeforeValidator(_postgresql_name)]
Text = Annotated[str, AfterValidator(_printable)]
Address = Annotated[IPvAnyAddress, AfterValidator(_unscoped)]


class Principal(BaseModel):
    """One Kerberos principal that may log in, and the database roles that it is granted.

    `name` may include the realm (`alice@CORP.EXAMPLE.COM`). Without one, the principal is of the directory's realm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[Name, Field(description="Its name, with or without a realm.")]
    realm: Annotated[Name | None, Field(description="Its realm; the directory's, when it has none.")] = None
    roles: Annotated[list[Name], Field(description="Database roles that it is granted beside rds_ad.")] = []

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        """Accept a bare name for a principal without further roles, and a realm in the name."""
        value = {"name": value} if isinstance(value, str) else value
        if isinstance(value, Mapping) and isinstance(name := value.get("name"), str) and "@" in name:
            name, _, realm = name.rpartition("@")
            if value.get("realm", realm) != realm:
                raise ValueError(f"is written with the realm {realm!r} but has the realm {value['realm']!r}")
            return {**value, "name": name, "realm": realm}
        return value

    def written(self, realm: str) -> str:
        """The principal as PostgreSQL must know it: lower-case name, upper-case realm (step 7 of the guide).

        Raises:
            InvalidRequest: longer than a PostgreSQL name.
        """
        return written(self.name, self.realm or realm)


class PrincipalGroup(BaseModel):
    """A group of the directory whose members may log in.

    Without `map_to` each member becomes a database user with `roles`. With it, the members log in as the database role
    `map_to`, which is granted `roles`: the extension pg_ad_mapping looks the group up at each login ("Using AD security
    groups for Aurora PostgreSQL access control").
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Annotated[Text, StringConstraints(pattern=r"^[^\x00-\x1f\x7f@/\\\[\]:;|=,+*?<>\"]{1,63}$")]
    roles: Annotated[list[Name], Field(description="Database roles that its members, or `map_to`, are granted.")] = []
    map_to: Annotated[Name | None, Field(description="Database role that its members log in as.")] = None
    weight: Annotated[int, Field(ge=1, description="Of the groups that a member is in, the heaviest counts.")] = 1


def _kind(value: object) -> str:
    return "group" if isinstance(value, PrincipalGroup) or (isinstance(value, Mapping) and "group" in value) else "name"


Listed = Annotated[
    Annotated[Principal, Tag("name")] | Annotated[PrincipalGroup, Tag("group")],
    Discriminator(_kind),
]


class PrincipalsList(BaseModel):
    """A list of principals that clusters may share: each names it by its tag `kerberos-principals`.

    A list that is a mere array is for one cluster, the one that the parameter is named after.
    """

    model_config = ConfigDict(extra="forbid")

    clusters: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,61}[a-z0-9-]?\*?$")]],
        Field(min_length=1, description="Identifiers of the clusters it is for; `orders-*` is for all that begin so."),
    ]
    principals: Annotated[list[Listed], Field(description="Who may log in to them.")]

    def is_for(self, cluster: str) -> bool:
        """Whether the list is for a cluster of this identifier."""
        return any(cluster.startswith(each[:-1]) if each.endswith("*") else cluster == each for each in self.clusters)


class NewCluster(BaseModel):
    """A cluster to be made: parameters of the call of the RDS API, and of CreateDBInstance for each instance."""

    model_config = ConfigDict(extra="forbid")

    parameters: Annotated[dict[str, Any], Field(description="Those of CreateDBCluster or RestoreDBCluster….")]
    instances: Annotated[
        list[dict[str, Any]],
        Field(min_length=1, max_length=16, description="Parameters of CreateDBInstance; the first is the writer."),
    ]


# From the least careful to the most. A window spares people a surprise, a person's answer spares them any disturbance
# that nobody has agreed to; so a tag that asks for the window does not lift the stack's approval.
Apply = Literal["now", "maintenance-window", "approval"]


class Request(BaseModel):
    """The input of an execution started by a person: `{"cluster": "orders"}`.

    With `create`, `restore` (from a snapshot) or `restore_to_time` the cluster is made as a member of the domain.
    """

    model_config = ConfigDict(extra="forbid")

    # RDS keeps identifiers in lower case.
    cluster: Annotated[
        str, StringConstraints(pattern=r"^(arn:[\w:.-]+:cluster:)?[A-Za-z][A-Za-z0-9-]{0,62}$", to_lower=True)
    ]
    action: Annotated[
        Literal["enable", "disable"],
        Field(description="`disable`: the cluster leaves the domain, and nobody may log in with a ticket."),
    ] = "enable"
    apply: Annotated[
        Apply | None,
        Field(
            description="When the cluster may be disturbed. The most careful of this, the tag and the setting counts."
        ),
    ] = None
    move: Annotated[bool, Field(description="Whether the cluster may leave another directory's domain.")] = False
    principals: Annotated[list[Listed] | None, Field(description="Who may log in.")] = None
    master_secret: Annotated[Text, Field(description="Secret with `username` and `password` of the master user.")] = ""
    database: Annotated[Name, Field(description="The database that the functions connect to.")] = "postgres"
    create: Annotated[NewCluster | None, Field(description="Make the cluster.")] = None
    restore: Annotated[NewCluster | None, Field(description="Restore it from a snapshot.")] = None
    restore_to_time: Annotated[NewCluster | None, Field(description="Restore it to a point in time.")] = None
    swept: Annotated[
        str, Field(description="The state that the sweep saw, to be recorded. Only the sweep writes it.")
    ] = ""

    @model_validator(mode="after")
    def _one_creation(self) -> Request:
        if len(self.creations) > 1:
            raise ValueError(f"{' and '.join(self.creations)} exclude each other")
        if self.creations and self.cluster.startswith("arn:"):
            raise ValueError("a cluster that is to be made is named by its identifier")
        if self.create and self.master_secret:
            raise ValueError("a cluster that is created has a master_secret of RDS's own")
        if self.creations and self.action == "disable":
            raise ValueError(f"a cluster cannot {self.creations[0]} and disable")
        return self

    @property
    def creations(self) -> list[Literal["create", "restore", "restore_to_time"]]:
        """How the cluster is to be made: at most one of the three; none if it exists already."""
        kinds: tuple[Literal["create", "restore", "restore_to_time"], ...] = ("create", "restore", "restore_to_time")
        return [kind for kind in kinds if getattr(self, kind) is not None]


class TagEventDetail(BaseModel):
    """The part of EventBridge's tag event that is read. The live tags decide, not these."""

    service: str
    resource_type: Annotated[str, Field(alias="resource-type")]
    tags: dict[str, str] = {}


class TagEvent(BaseModel):
    """EventBridge's event `Tag Change on Resource` for one DB cluster. AWS may add fields."""

    resources: Annotated[list[str], Field(min_length=1, max_length=1)]
    detail: TagEventDetail

    def request(self) -> Request:
        """The request the tag stands for."""
        return parse(Request, {"cluster": self.resources[0]}, "The tag event")


DnsName = Annotated[str, StringConstraints(pattern=r"^([a-zA-Z0-9]+[.-])+[a-zA-Z0-9]+$", to_lower=True)]
# The characters of a sAMAccountName. A user's has at most 20 of them (ds-data API reference).
UserName = Annotated[str, StringConstraints(pattern=r"^[\w\-.]{1,20}$", to_lower=True)]
GroupName = Annotated[str, StringConstraints(pattern=r"^[\w\-. ]{1,63}$")]


class Trust(BaseModel):
    """A forest trust with an on-premises domain (step 2)."""

    model_config = ConfigDict(extra="forbid")

    domain: Annotated[DnsName, Field(description="DNS name of the on-premises domain.")]
    direction: Annotated[
        Literal["outgoing", "two-way"],
        Field(description="`outgoing`: the directory trusts the on-premises domain, whose users may log in here."),
    ] = "outgoing"
    dns_ips: Annotated[
        list[Address], Field(min_length=1, max_length=4, description="The domain's DNS servers, by address.")
    ]
    password_secret: Annotated[
        str,
        Field(description="Secret with the trust's `password`. It is always `<SecretPrefix>/<domain>/trust`."),
    ] = ""


class User(BaseModel):
    """A user of the directory, which is created if it is missing (step 4)."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[UserName, Field(description="The name to log in with (sAMAccountName).")]
    given_name: Annotated[Text, Field(description="Set if the user has none; an existing value is kept.")] = ""
    surname: Annotated[Text, Field(description="Likewise.")] = ""
    email: Annotated[Text, Field(description="Likewise.")] = ""


class Group(BaseModel):
    """A security group of the directory, which is created if it is missing, with at least these members (step 4).

    A group that was not made here gets members only if the stack's parameter `AllowedGroups` has its name.
    """

    model_config = ConfigDict(extra="forbid")

    name: Annotated[GroupName, Field(description="The group's name (sAMAccountName).")]
    members: Annotated[list[UserName], Field(description="Users who are added to it. Nobody is removed.")] = []


class Settings(BaseModel):
    """The stack's parameters, as `template.yaml` puts them into the SSM parameter `<ParameterPrefix>.stack`.

    The last three are what people write: each is a JSON list in an SSM parameter of its own. Nothing else can be
    written there, so whoever may write them decides nothing but them.
    """

    model_config = ConfigDict(extra="forbid")

    directory_id: str
    directory_dns_name: DnsName
    directory_edition: str
    directory_account_role: str
    directory_owner_accounts: list[str]
    directory_share_method: Literal["HANDSHAKE", "ORGANIZATIONS"]
    network: Literal["managed", "existing"]
    creation: Literal["off", "private", "public"] = "off"
    apply: Apply
    move: bool
    vpc_id: str
    subnet_ids: list[str]
    function_security_group: Annotated[str, Field(description="The functions' own, which the stack makes.")]
    service_role_name: str
    parameter_prefix: str
    secret_prefix: str
    allowed_groups: list[GroupName]
    default_principals: str
    allowed_roles: list[Name] = Field([], description="Roles that may be granted although they are reserved.")
    check_principal: Principal
    check_secret: str
    trusts: list[Trust] = Field(
        [], description="On-premises domains that the directory trusts (step 2), in `<ParameterPrefix>/trusts`."
    )
    users: list[User] = Field(
        [], description="Users of the directory, created if missing (step 4), in `<ParameterPrefix>/users`."
    )
    groups: list[Group] = Field(
        [], description="Groups of the directory, created if missing (step 4), in `<ParameterPrefix>/groups`."
    )

    @classmethod
    def read(cls, of_stack: str, lists: Mapping[str, Any]) -> Settings:
        """The settings of a stack, with the lists of people.

        Args:
            of_stack: the stack's own, `field=value` in each line, as `StackSettings` in `template.yaml` writes them.
            lists: what people have written: trusts, users and groups.

        Raises:
            InvalidRequest: names every field that is wrong.
        """
        given: dict[str, Any] = dict(line.split("=", 1) for line in of_stack.splitlines())
        for field in ("subnet_ids", "directory_owner_accounts", "allowed_groups", "allowed_roles"):
            given[field] = [each for each in given.get(field, "").split(",") if each]
        return parse(cls, {**given, **lists}, "The settings")


Share = Annotated[str, StringConstraints(pattern=r"^(100|[1-9][0-9]?)%$")]
EachOnce = AfterValidator(lambda listed: sorted(set(listed)))  # their order has no meaning


def _growing(waves: list[int | str]) -> list[int | str]:
    for kind in (int, str):
        sizes = [int(str(wave).rstrip("%")) for wave in waves if isinstance(wave, kind)]
        if sizes != sorted(set(sizes)):
            raise ValueError("each wave must reach further than the one before it")
    return waves


class Rollout(BaseModel):
    """The input of a rollout: `{}` shows what would happen to all clusters of the organization, and does nothing."""

    model_config = ConfigDict(extra="forbid")

    accounts: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]],
        EachOnce,
        Field(description="Accounts. Default, if there are no `organizational_units` either: all of the organization."),
    ] = []
    organizational_units: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^(ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32})$")]],
        EachOnce,
        Field(description="Ids of organizational units (or of the root), with all units below them."),
    ] = []
    regions: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]],
        EachOnce,
        Field(description="Regions. Default: the Region of the rollout."),
    ] = []
    tags: Annotated[dict[str, str], Field(description="Only clusters that have all these tags.")] = {}
    waves: Annotated[
        list[Annotated[int, Field(ge=1)] | Share],
        AfterValidator(_growing),
        Field(
            min_length=1,
            max_length=20,
            description="How many clusters, or which share of them, are done after each wave.",
        ),
    ] = [1, "5%", "25%", "100%"]
    at_once: Annotated[int, Field(ge=1, le=1000, description="How many clusters are enrolled at the same time.")] = 10
    max_failures: Annotated[
        int, Field(ge=0, description="If more clusters than this fail because of the workflow, no further wave begins.")
    ] = 0
    dry_run: Annotated[bool, Field(description="Only show what would be done.")] = True

    @property
    def id(self) -> str:
        """The rollout's id. It is the same for the same clusters in the same waves, in a dry run as well."""
        return names.digest(self.model_dump(exclude={"dry_run", "at_once", "max_failures"}))


def parse(model: type[T], value: object, what: str) -> T:
    """`value` as a `model`.

    Raises:
        InvalidRequest: names every field that is wrong. The sentence begins with `what`.
    """
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        raise _invalid(error, what, model) from None


def parse_json(model: type[T], text: str, what: str) -> T:
    """JSON text as a `model`; raises as `parse`."""
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{what} is not JSON: {error}.", "Mend it, then start the execution again.") from None
    return parse(model, value, what)


def _invalid(error: ValidationError, what: str, model: type) -> InvalidRequest:
    problems = [
        f"{_place(detail['loc'])}: {detail['msg'].removeprefix('Value error, ')}"
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return InvalidRequest(
        f"{what} is not valid: {'; '.join(problems)}.",
        "Write it as the README shows; {} shows what would be done to all clusters."
        if model is Rollout
        else 'Write it as the README shows; the least is {"cluster": "<identifier>"}.',
    )


def _place(location: tuple[int | str, ...]) -> str:
    """Where the problem is in the input, without the kind of an entry that pydantic puts after a list's index."""
    written = [part for before, part in zip((None, *location), location, strict=False) if not _is_kind(before, part)]
    return ".".join(map(str, written)) or "it"


def _is_kind(before: int | str | None, part: int | str) -> bool:
    return isinstance(before, int) and part in {"name", "group", "constrained-int", "constrained-str"}
