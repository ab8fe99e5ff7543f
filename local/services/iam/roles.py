"""IAM roles, which are not known everywhere at once (eventual consistency)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.core.calls import Parameters, aftermath
from local.core.cloud import Cloud
from local.core.places import written_of_account


class Roles:
    """The roles of a cloud by name: `made` is the virtual second in which each was made."""

    def __init__(self, _: Cloud) -> None:
        self.made: dict[str, float] = {}


@aftermath("iam", "CreateRole")
def role_made(cloud: Cloud, parameters: Parameters, _: Mapping[str, Any]) -> None:
    """RDS will not be able to assume it at once."""
    cloud.part(Roles).made[written_of_account(parameters["RoleName"])] = cloud.clock.now
