"""What people write: console input, principals and the stack's settings. Only `validate_request` reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from aurora_kerberos.errors import InvalidRequest

LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer names with only a notice (NAMEDATALEN)

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


Name = Annotated[str, BeforeValidator(_postgresql_name)]


class Principal(BaseModel):
    """One Kerberos principal that shall be able to log in, and the database roles it is granted.

    `name` may be written with its realm (`alice@CORP.EXAMPLE.COM`); without one it is of the directory's realm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    realm: Name | None = None
    roles: list[Name] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        """A bare name stands for a principal without further roles; a realm in the name is the realm."""
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
        principal = f"{self.name.lower()}@{(self.realm or realm).upper()}"
        if len(principal.encode()) > LONGEST_NAME:
            raise InvalidRequest(
                f"The principal {principal!r} has {len(principal.encode())} bytes.",
                f"PostgreSQL cuts names at {LONGEST_NAME} bytes, and the login would never match. Use a shorter name.",
            )
        return principal


class Request(BaseModel):
    """The input of an execution started by a person: `{"cluster": "orders"}`."""

    model_config = ConfigDict(extra="forbid")

    cluster: Annotated[str, StringConstraints(pattern=r"^(arn:[\w:.-]+:cluster:)?[A-Za-z][A-Za-z0-9-]{0,62}$")]
    principals: list[Principal] | None = None
    master_secret: str = ""
    database: Name = "postgres"


class TagEventDetail(BaseModel):
    """The part of EventBridge's tag event that is looked at; the live tags decide, not these."""

    service: str
    resource_type: Annotated[str, Field(alias="resource-type")]


class TagEvent(BaseModel):
    """EventBridge's `Tag Change on Resource` for one DB cluster; AWS may add fields."""

    resources: Annotated[list[str], Field(min_length=1, max_length=1)]
    detail: TagEventDetail

    def request(self) -> Request:
        """The request the tag stands for."""
        return parse(Request, {"cluster": self.resources[0]}, "The tag event")


class Settings(BaseModel):
    """The stack's parameters, as `template.yaml` puts them into the environment of `validate_request`."""

    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=str.upper))

    directory_id: str
    directory_dns_name: str
    directory_edition: str
    vpc_id: str
    subnet_ids: str
    service_role_name: str
    parameter_prefix: str
    secret_prefix: str
    default_principals: str
    check_principal: Principal
    check_secret: str


def parse(model: type[T], value: object, what: str) -> T:
    """`value` as a `model`.

    Raises:
        InvalidRequest: naming every field that is wrong; `what` begins the sentence.
    """
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        raise _invalid(error, what) from None


def parse_json(model: type[T], text: str, what: str) -> T:
    """JSON text as a `model`; raises as `parse`."""
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{what} is not JSON: {error}.", "Mend it, then start the execution again.") from None
    return parse(model, value, what)


def _invalid(error: ValidationError, what: str) -> InvalidRequest:
    problems = [
        f"{'.'.join(map(str, detail['loc'])) or 'it'}: {detail['msg'].removeprefix('Value error, ')}"
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return InvalidRequest(
        f"{what} is not valid: {'; '.join(problems)}.",
        'Write it as the README shows; the least is {"cluster": "<identifier>"}.',
    )
