"""Each parameter of the calls that make clusters is judged: a new one of RDS is refused until somebody has."""

from __future__ import annotations

import pytest
from botocore.session import get_session

from aurora_kerberos import new_clusters

RDS = get_session().get_service_model("rds")

# What those go past that this is for.
REFUSED = {
    "another way to log in": "EnableIAMDatabaseAuthentication MasterUserAuthenticationType",
    "a password": "MasterUserPassword",
    "an address in the internet": "EnableInternetAccessGateway EnableVPCNetworking WithExpressConfiguration",
    "data of another cluster or Region": """
        EnableGlobalWriteForwarding GlobalClusterIdentifier PreSignedUrl ReplicationSourceIdentifier SourceRegion
    """,
    "data of a cluster that is gone": "SourceDbClusterResourceId",
    "tags of other resources": "TagSpecifications",
    "not of a cluster that joins a domain by its instances": "ClusterScalabilityType EnableLimitlessDatabase",
    "not needed to make it": "CACertificateIdentifier EnableLocalWriteForwarding MonitoringInterval OptionGroupName",
    "not of Aurora PostgreSQL": """
        AllocatedStorage BacktrackWindow CharacterSetName DBClusterInstanceClass DBSystemId EngineMode Iops
        RdsCustomClusterConfiguration ScalingConfiguration
    """,
}


def parameters(operation: str) -> set[str]:
    """The parameters of an operation of RDS."""
    shape = RDS.operation_model(operation).input_shape
    assert shape
    return set(shape.members)


@pytest.mark.parametrize("operation", new_clusters.OPERATIONS.values())
def test_each_parameter_of_a_cluster_is_judged_once(operation: str) -> None:
    known = parameters(operation)
    refused = {name for names in REFUSED.values() for name in names.split()}
    refused |= new_clusters.OURS | new_clusters.ROLES
    assert not new_clusters.OF_CLUSTERS & refused
    assert not known - new_clusters.OF_CLUSTERS - refused


def test_no_parameter_is_judged_that_no_call_has() -> None:
    known = {name for each in new_clusters.OPERATIONS.values() for name in parameters(each)}
    refused = {name for names in REFUSED.values() for name in names.split()}
    assert not (new_clusters.OF_CLUSTERS | refused) - known
