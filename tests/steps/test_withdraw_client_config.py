"""Managing: what clients found in SSM is taken away, of this cluster alone."""

from __future__ import annotations

import pytest

from local.cloud import Cloud
from local.core.faults import Fault, Faults
from tests.steps.conftest import Step, StepFailed

PREFIX = "/aurora-kerberos/clients"


def put(cloud: Cloud, *names: str) -> None:
    for name in names:
        cloud.client("ssm").put_parameter(Name=f"{PREFIX}/{name}", Type="String", Value="x")
    cloud.calls.clear()


def stored(cloud: Cloud) -> list[str]:
    found = cloud.client("ssm").get_parameters_by_path(Path=PREFIX, Recursive=True)["Parameters"]
    return sorted(each["Name"].removeprefix(f"{PREFIX}/") for each in found)


def withdraw(step: Step) -> list[str]:
    answer = step("WithdrawClientConfig", prefix=f"{PREFIX}/orders")
    assert answer["ready"]
    names: list[str] = answer["outputs"]["parameters"]
    return names


def test_both_parameters_of_the_cluster_go_and_nothing_else(cloud: Cloud, step: Step) -> None:
    put(cloud, "orders/krb5.conf", "orders/connect", "orders/by-hand", "orders-2/krb5.conf", "orders-2/connect")
    assert withdraw(step) == [f"{PREFIX}/orders/connect", f"{PREFIX}/orders/krb5.conf"]
    assert stored(cloud) == ["orders-2/connect", "orders-2/krb5.conf", "orders/by-hand"]


def test_one_that_is_left_goes_as_well(cloud: Cloud, step: Step) -> None:
    put(cloud, "orders/connect")
    assert withdraw(step) == [f"{PREFIX}/orders/connect"]
    assert stored(cloud) == []


def test_where_there_is_none_nothing_is_changed(cloud: Cloud, step: Step) -> None:
    put(cloud, "orders/krb5.conf", "orders/connect")
    withdraw(step)
    cloud.calls.clear()
    assert withdraw(step) == []
    assert not [call for call in cloud.calls if call.changes]


def test_what_publish_client_config_has_written_is_what_goes(cloud: Cloud, step: Step) -> None:
    directory = {"realm": "CORP.EXAMPLE.COM", "dns_name": "corp.example.com", "dns_ips": ["10.0.0.10"]}
    cluster = {"id": "orders", "endpoint": "orders.example", "port": 5432, "database": "postgres"}
    step("PublishClientConfig", cluster=cluster, directory=directory, trusts=[], prefix=f"{PREFIX}/orders")
    assert len(stored(cloud)) == 2
    withdraw(step)
    assert stored(cloud) == []


def test_when_aws_is_away_it_is_tried_again(cloud: Cloud, step: Step) -> None:
    put(cloud, "orders/connect")
    cloud.faults = Faults([Fault(call="ssm:DeleteParameters", error="InternalServerError", status=500)])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        withdraw(step)
    assert withdraw(step) == [f"{PREFIX}/orders/connect"]
