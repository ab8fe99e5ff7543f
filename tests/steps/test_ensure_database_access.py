"""Before step 1: the functions are let in at the database's port, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto.ec2.models import ec2_backends

from local.cloud import Cloud
from local.scenario.format import AtStart, Cluster
from local.scenario.prepare import prepare
from local.services.ec2.vpcs import Vpc, other_side, peer

APART = Vpc(name="apart", cidrs=["10.9.0.0/16"])


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Nothing but the stack, which may change the network of all VPCs."""
    with Cloud({"NetworkVpcIds": "vpc-*"}) as running:
        yield running


def look(cloud: Cloud, mode: str = "managed", id_: str = "orders") -> list[str]:
    """What the step opens for a cluster, and how it calls that; with the plan's own arguments."""
    execution = {"execution": f"arn:aws:states:eu-central-1:{cloud.home}:execution:machine:run"}
    arguments: Any = {"request": {"cluster": id_}, **execution}
    _, payload = cloud.functions.invoke(cloud.functions.name("ValidateRequest"), json.dumps(arguments))
    plan = json.loads(payload)["outputs"]["plan"]
    cloud.calls.clear()
    event = json.dumps({**execution, "cluster": plan["cluster"], "network": {**plan["network"], "mode": mode}})
    failed, payload = cloud.functions.invoke(cloud.functions.name("EnsureDatabaseAccess"), event)
    assert not failed, payload
    opened: list[str] = json.loads(payload)["outputs"]["opened"]
    return opened


def added(cloud: Cloud) -> list[dict[str, Any]]:
    return [dict(call.parameters) for call in cloud.calls if call.function and call.changes]


def start(cloud: Cloud, *vpcs: Vpc, **cluster: Any) -> tuple[str, int]:
    """A cluster; its security group and port."""
    prepare(cloud, AtStart(vpcs=list(vpcs), clusters=[Cluster(id="orders", **cluster)]))
    (found,) = cloud.client("rds").describe_db_clusters()["DBClusters"]
    return found["VpcSecurityGroups"][0]["VpcSecurityGroupId"], found["Port"]


def test_the_functions_group_is_let_in_at_the_port_alone_and_once(cloud: Cloud) -> None:
    group, port = start(cloud, lets_in=[])
    ours = cloud.outputs["FunctionSecurityGroup"]
    assert look(cloud) == [f"{group} of cluster orders: TCP {port} from {ours} of this stack's functions"]
    pair = {"GroupId": ours, "Description": "aurora-kerberos"}
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [pair]}
    assert added(cloud) == [{"GroupId": group, "IpPermissions": [permission]}]
    assert look(cloud) == []
    assert added(cloud) == []


def test_whatever_lets_them_in_already_is_enough(cloud: Cloud) -> None:
    group, port = start(cloud, lets_in=[])
    ec2 = cloud.client("ec2")
    ours = {"UserIdGroupPairs": [{"GroupId": cloud.outputs["FunctionSecurityGroup"]}]}
    for permission in (
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **ours},
        {"IpProtocol": "tcp", "FromPort": 1024, "ToPort": 65535, "IpRanges": [{"CidrIp": "172.31.0.0/16"}]},
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "172.16.0.0/12"}]},
        {"IpProtocol": "-1", **other_side(ec2, "list:172.31.0.0/16")},
    ):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        assert look(cloud) == []
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[permission])


def test_what_lets_in_only_some_of_them_is_not(cloud: Cloud) -> None:
    group, port = start(cloud, lets_in=[])
    ec2 = cloud.client("ec2")
    everybody = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    permissions: list[dict[str, Any]] = [
        {"IpProtocol": "udp", "FromPort": port, "ToPort": port, **everybody},
        {"IpProtocol": "tcp", "FromPort": port + 1, "ToPort": port + 1, **everybody},
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "172.31.0.0/20"}]},
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
    ]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
    assert len(look(cloud)) == 1


def test_an_existing_network_is_left_alone(cloud: Cloud) -> None:
    start(cloud, lets_in=[])
    assert look(cloud, mode="existing") == []
    assert not [call for call in cloud.calls if call.function]


def test_in_another_vpc_they_are_let_in_only_over_an_active_peering(cloud: Cloud) -> None:
    group, _ = start(cloud, APART, vpc="apart")
    assert look(cloud) == []
    name = peer(cloud, cloud.networks.named("apart"), cloud.networks.named("default"), "pending-acceptance")
    assert look(cloud) == []
    assert added(cloud) == []
    ec2_backends[cloud.home][cloud.region].vpc_pcxs[name]._status.code = "active"
    assert look(cloud)[0].startswith(f"{group} of cluster orders: TCP ")
    assert len(added(cloud)) == 1
