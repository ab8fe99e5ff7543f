"""Aurora as far as moto does not know it: domain memberships that take their time, restarts, events, busy clusters.

Joining is real where it matters: the cluster's PostgreSQL gets a keytab from the directory's KDC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError
from moto.rds.models import DomainMembership

from aurora_kerberos.service_role import missing_principals
from local.core.calls import Parameters, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.core.places import written_of_account
from local.servers.databases import Databases
from local.services.directory.directories import SHARED, Directories
from local.services.ec2.reach import DOMAIN_PORTS, Hosts, obstacles
from local.services.iam.roles import Roles
from local.services.rds.backend import Aurora, cluster_of, endpoints, members, set_status
from local.services.rds.events import add_event

ROLE_SETTLES = 10  # virtual seconds until RDS can assume a new role (IAM is eventually consistent)

MODIFYING = 60

JOINED = {"MicrosoftAD", SHARED}  # the types of directories that clusters can join

BAD_ROLE = "IAM role provided is not valid. Check that the role exists and has the correct policies."


@fake("rds", "ModifyDBCluster")
def modify_db_cluster(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any] | None:
    """Join a domain or leave it; everything else is moto's."""
    cluster = cluster_of(cloud, parameters["DBClusterIdentifier"])
    if "Domain" not in parameters:
        return None
    if cluster.status != "available":
        raise AwsError("InvalidDBClusterStateFault", f"The DB cluster {cluster.resource_id} is {cluster.status}.")
    for instance in cluster.members:
        if instance.status != "available":
            raise AwsError("InvalidDBInstanceState", f"Instance {instance.resource_id} is {instance.status}.")
    if parameters["Domain"] == "none":
        return leave_domain(cloud, cluster, parameters)
    check_directory(cloud, parameters["Domain"])
    check_role(cloud, parameters.get("DomainIAMRoleName", ""))
    status = "enabling-kerberos" if parameters.get("ApplyImmediately") else "pending-maintenance-enable-kerberos"
    for member in members(cluster):
        membership = DomainMembership(parameters["Domain"], parameters["DomainIAMRoleName"])
        membership.status = status
        member.domain_memberships = [membership]
    if status == "enabling-kerberos":
        begin_joining(cloud, cluster)
    else:
        cloud.clock.call_later(cloud.takes.maintenance_window, lambda: begin_joining(cloud, cluster))
    return described(cloud, cluster)


def described(cloud: Cloud, cluster: Any) -> Mapping[str, Any]:
    """The answer of ModifyDBCluster."""
    found = cloud.client("rds").describe_db_clusters(DBClusterIdentifier=cluster.resource_id)
    return {"DBCluster": found["DBClusters"][0]}


def leave_domain(cloud: Cloud, cluster: Any, parameters: Parameters) -> Mapping[str, Any]:
    """Leave the domain, at once or in the maintenance window."""
    if not cluster.domain_memberships:
        return described(cloud, cluster)
    if parameters.get("ApplyImmediately"):
        begin_leaving(cloud, cluster)
    else:
        set_status(cluster, "pending-maintenance-disable-kerberos")
        cloud.clock.call_later(cloud.takes.maintenance_window, lambda: begin_leaving(cloud, cluster))
    return described(cloud, cluster)


def begin_leaving(cloud: Cloud, cluster: Any) -> None:
    """`available` again after a minute; the membership takes longer to go."""
    set_status(cluster, "disabling-kerberos")
    cluster.status = "modifying"
    cloud.clock.call_later(MODIFYING, lambda: setattr(cluster, "status", "available"))
    cloud.clock.call_later(cloud.takes.leaving, lambda: end_leaving(cloud, cluster))


def end_leaving(cloud: Cloud, cluster: Any) -> None:
    """The membership is gone, and with it the key of the service principal."""
    for member in members(cluster):
        member.domain_memberships = []
    cloud.part(Databases).leave(cluster.resource_id)
    cloud.happened(f"{cluster.resource_id} has left its domain")


def check_directory(cloud: Cloud, directory: str) -> None:
    """As RDS does when asked to join: the directory must be seen in the cluster's account, and be Active or Shared."""
    found = [each for each in cloud.part(Directories).of_account(cloud.account) if each.directory_id == directory]
    shares = [share.status for share in cloud.part(Directories).shares if share.shared_id == directory]
    usable = [
        each for each in found if getattr(each, "owner", each).stage == "Active" and each.directory_type in JOINED
    ]
    if not usable or shares not in ([], ["Shared"]):
        raise AwsError("DomainNotFoundFault", f"Domain {directory} is not found or not active.", 404)


def check_role(cloud: Cloud, name: str) -> None:
    """As RDS does when asked to join: it tries to assume the role."""
    iam = cloud.client("iam")
    try:
        role = iam.get_role(RoleName=name)["Role"]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    except ClientError as error:
        raise AwsError("InvalidParameterCombination", BAD_ROLE) from error
    young = cloud.clock.now - cloud.part(Roles).made.get(written_of_account(name), -ROLE_SETTLES) < ROLE_SETTLES
    if young or missing_principals(role, cloud.region) or not attached:
        raise AwsError("InvalidParameterCombination", BAD_ROLE)


def begin_joining(cloud: Cloud, cluster: Any) -> None:
    """`available` again after a minute, as far as the status goes; the membership takes longer."""
    set_status(cluster, "enabling-kerberos")
    cluster.status = "modifying"
    cloud.clock.call_later(MODIFYING, lambda: setattr(cluster, "status", "available"))
    cloud.clock.call_later(cloud.takes.membership, lambda: end_joining(cloud, cluster))


def end_joining(cloud: Cloud, cluster: Any) -> None:
    """The membership is there; or it has failed, as the scenario wants it or for want of a way to the directory."""
    directory = cloud.part(Directories).find(cluster.domain_memberships[0].domain)
    in_the_way = list(obstacles(cloud, Hosts.of_cluster(cloud, cluster), Hosts.of_directory(directory), *DOMAIN_PORTS))
    if cloud.part(Aurora).refuses_to_join(cluster.resource_id) or in_the_way:
        set_status(cluster, "enable-kerberos-failed")
        reason = "Unable to join the domain: the domain controllers could not be contacted."
        add_event(cloud, cluster.resource_id, "db-cluster", "failure", reason)
        cloud.happened(" ".join([f"{cluster.resource_id} could not join the domain", *in_the_way[:1]]))
        return
    set_status(cluster, "kerberos-enabled")
    realm = cloud.part(Directories).realm(cluster.domain_memberships[0].domain)
    conf = cloud.part(Directories).client_conf()
    cloud.part(Databases).join(cluster.resource_id, endpoints(cluster), realm, conf)
    cloud.happened(f"{cluster.resource_id} joined the domain of {realm.realm}")
