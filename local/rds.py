"""Aurora as far as moto does not know it: domain memberships that take their time, restarts, events, busy clusters.

Joining is real where it matters: the cluster's PostgreSQL gets a keytab from the directory's KDC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from moto.rds.models import DomainMembership, rds_backends

from aurora_kerberos.service_role import missing_principals
from local import parameter_groups
from local.aws import Parameters, aftermath, arn_name, fake
from local.directory_service import SHARED
from local.faults import AwsError
from local.network import DOMAIN_PORTS, Hosts, obstacles
from local.places import of_arn, present, split, written_of_account

if TYPE_CHECKING:
    from local.cloud import Cloud

ROLE_SETTLES = 10  # virtual seconds until RDS can assume a new role (IAM is eventually consistent)
EVENT_DELAY = 20
MODIFYING = 60
SHORT = {"db-cluster": "cluster", "db-instance": "db"}  # source types of events, as ARNs have them
PRIMARIES = "eu-west-1"  # the Region of the primaries of global databases
JOINED = {"MicrosoftAD", SHARED}  # the types of directories that clusters can join
BAD_ROLE = "IAM role provided is not valid. Check that the role exists and has the correct policies."


def backend(cloud: Cloud) -> Any:
    """moto's RDS of the cloud's account and Region."""
    return rds_backends[cloud.account][cloud.region]


def cluster_of(cloud: Cloud, name: str) -> Any:
    """moto's cluster.

    Raises:
        AwsError: DBClusterNotFoundFault.
    """
    found = backend(cloud).clusters.get(arn_name(name) if name.startswith("arn:") else name.lower())
    if found and (not name.startswith("arn:") or of_arn(name) == present()):
        return found
    raise AwsError("DBClusterNotFoundFault", f"DBCluster {name} not found.", 404)


def members(cluster: Any) -> list[Any]:
    """The cluster and its instances: all that has a membership."""
    return [cluster, *cluster.members]


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
    cloud.databases.leave(cluster.resource_id)
    cloud.happened(f"{cluster.resource_id} has left its domain")


def check_directory(cloud: Cloud, directory: str) -> None:
    """As RDS does when asked to join: the directory must be seen in the cluster's account, and be Active or Shared."""
    found = [each for each in cloud.directories.of_account(cloud.account) if each.directory_id == directory]
    shares = [share.status for share in cloud.directories.shares if share.shared_id == directory]
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
    young = cloud.clock.now - cloud.roles_made.get(written_of_account(name), -ROLE_SETTLES) < ROLE_SETTLES
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
    directory = cloud.directories.find(cluster.domain_memberships[0].domain)
    in_the_way = list(obstacles(cloud, Hosts.of_cluster(cloud, cluster), Hosts.of_directory(directory), *DOMAIN_PORTS))
    if cloud.refuse_to_join(cluster.resource_id) or in_the_way:
        set_status(cluster, "enable-kerberos-failed")
        reason = "Unable to join the domain: the domain controllers could not be contacted."
        add_event(cloud, cluster.resource_id, "db-cluster", "failure", reason)
        cloud.happened(" ".join([f"{cluster.resource_id} could not join the domain", *in_the_way[:1]]))
        return
    set_status(cluster, "kerberos-enabled")
    realm = cloud.directories.realm(cluster.domain_memberships[0].domain)
    names = [cluster.endpoint, cluster.reader_endpoint]
    cloud.databases.join(cluster.resource_id, names, realm, cloud.directories.client_conf())
    cloud.happened(f"{cluster.resource_id} joined the domain of {realm.realm}")


def set_status(cluster: Any, status: str) -> None:
    """The membership's status, of the cluster and all instances."""
    for member in members(cluster):
        member.domain_memberships[0].status = status


@fake("rds", "RebootDBInstance")
def reboot_db_instance(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """Restart an instance; the writer's is the restart of the real PostgreSQL."""
    name = parameters["DBInstanceIdentifier"]
    instance = backend(cloud).databases.get(name)
    if instance is None:
        raise AwsError("DBInstanceNotFound", f"DBInstance {name} not found.", 404)
    if instance.status != "available":
        raise AwsError("InvalidDBInstanceState", f"Instance {name} is {instance.status}, not available.")
    instance.status = "rebooting"

    def restarted() -> None:
        instance.status = "available"
        parameter_groups.started(cloud, instance)
        if instance.is_cluster_writer:
            cloud.databases.restart(instance.db_cluster_identifier)
        add_event(cloud, name, "db-instance", "availability", "DB instance restarted")
        cloud.happened(f"instance {name} has restarted")

    cloud.clock.call_later(cloud.takes.restart, restarted)
    described = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=name)
    return {"DBInstance": described["DBInstances"][0]}


def add_event(cloud: Cloud, source: str, kind: str, category: str, message: str) -> None:
    """An event, which DescribeEvents knows a little later."""
    event = {
        "SourceIdentifier": source,
        "SourceType": kind,
        "SourceArn": cloud.arn("rds", f"{SHORT[kind]}:{source}"),
        "Message": message,
        "EventCategories": [category],
        "Date": cloud.clock.time(),
    }
    cloud.clock.call_later(EVENT_DELAY, lambda: cloud.events.append(event))


@fake("rds", "DescribeEvents")
def describe_events(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """The events of the last `Duration` minutes (60 when not said), in virtual time."""
    if "SourceIdentifier" in parameters and "SourceType" not in parameters:
        raise AwsError("InvalidParameterCombination", "SourceType is required with SourceIdentifier.")
    since = cloud.clock.time() - timedelta(minutes=parameters.get("Duration", 60))
    categories = set(parameters.get("EventCategories", []))
    found = [
        event
        for event in cloud.events
        if ("SourceArn" not in event or of_arn(event["SourceArn"]) == present())
        and event["SourceIdentifier"] == parameters.get("SourceIdentifier", event["SourceIdentifier"])
        and event["SourceType"] == parameters.get("SourceType", event["SourceType"])
        and event["Date"] >= since
        and (not categories or categories & set(event["EventCategories"]))
    ]
    return {"Events": found}


@fake("rds", "DescribeGlobalClusters")
def describe_global_clusters(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001  as all fakes
    """A global cluster for each secondary one; its primary is in another Region."""
    secondaries = [name for place, name in map(split, sorted(cloud.secondaries)) if place == present()]
    return {
        "GlobalClusters": [
            {
                "GlobalClusterIdentifier": f"global-{name}",
                "GlobalClusterMembers": [
                    {"DBClusterArn": f"arn:aws:rds:{PRIMARIES}:{cloud.account}:cluster:{name}", "IsWriter": True},
                    {"DBClusterArn": cloud.arn("rds", f"cluster:{name}"), "IsWriter": False},
                ],
            }
            for name in secondaries
        ]
    }


@aftermath("rds", "AddTagsToResource")
def tagged(cloud: Cloud, parameters: Parameters, _: Mapping[str, Any]) -> None:
    """EventBridge hears of the tags a moment later."""
    tag_event(cloud, parameters["ResourceName"], [tag["Key"] for tag in parameters["Tags"]])


@aftermath("rds", "RemoveTagsFromResource")
def untagged(cloud: Cloud, parameters: Parameters, _: Mapping[str, Any]) -> None:
    """EventBridge hears of it a moment later."""
    tag_event(cloud, parameters["ResourceName"], list(parameters["TagKeys"]))


@fake("rds", "AddTagsToResource")
def check_tags(cloud: Cloud, parameters: Parameters) -> None:
    """What moto lets pass: a resource that is not there, and characters that RDS does not take in a tag."""
    if ":cluster:" in parameters["ResourceName"]:
        cluster_of(cloud, parameters["ResourceName"])
    for tag in parameters["Tags"]:
        text = f"{tag['Key']}{tag.get('Value', '')}"
        if len(tag.get("Value", "")) > 256 or not all(each.isalnum() or each in " _.:/=+-@" for each in text):
            raise AwsError("InvalidParameterValue", f"The tag {tag['Key']} holds characters that are not allowed.")


def tag_event(cloud: Cloud, arn: str, changed: list[str]) -> None:
    """EventBridge's `Tag Change on Resource`, to every rule it matches."""
    if ":cluster:" not in arn:
        return
    tags = {tag["Key"]: tag["Value"] for tag in cluster_of(cloud, arn).get_tags()}
    event = {
        "version": "0",
        "id": f"local-{len(cloud.calls)}",
        "detail-type": "Tag Change on Resource",
        "source": "aws.tag",
        "account": cloud.account,
        "time": cloud.clock.time().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": cloud.region,
        "resources": [arn],
        "detail": {
            "changed-tag-keys": changed,
            "service": "rds",
            "resource-type": "cluster",
            "version": 1,
            "tags": tags,
        },
    }
    cloud.clock.call_later(cloud.takes.event, lambda: cloud.deliver(event))
