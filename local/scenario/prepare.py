"""The cloud at the start of a scenario: what was made long ago."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, time
from typing import Any

from moto.ds import models as moto_ds
from moto.rds.models import DomainMembership
from moto.secretsmanager.models import secretsmanager_backends

from aurora_kerberos import items, names, registry
from aurora_kerberos.clusters import AFTER_JOINING
from aurora_kerberos.service_role import trust_policy
from local import deployment
from local.cloud import Cloud
from local.core import places
from local.core.faults import Faults
from local.core.places import Place
from local.scenario.format import AtStart, Cluster, Directory, ExistingTrust, Member, Membership, Role
from local.scenario.members import deploy as deploy_member
from local.services import organizations
from local.services.directory import sharing
from local.services.ec2.vpcs import cidrs_of, furnish_cluster, furnish_directory, open_group
from local.services.event_bridge import DefaultBus
from local.services.iam.roles import Roles
from local.services.rds.backend import Aurora, cluster_of, endpoints, members, moto_rds, set_status

MASTER = "postgres"

MASTER_PASSWORD = "Not-In-Any-Log-7"  # noqa: S105  of the local run's databases alone


def prepare(cloud: Cloud, start: AtStart) -> None:
    """Make what is there at the start."""
    for member in start.members:
        add_member(cloud, member)
    cloud.networks.add(start.vpcs)
    if start.organization:
        there = [place.account for place in cloud.deployed]
        there += [each.account for each in (*start.clusters, *start.directories)]
        organizations.establish(cloud, start.organization, there)
    for domain in start.on_premises:
        cloud.directories.add_on_premises(domain.domain, domain.dns_ips, domain.trust_password)
        create_users(cloud, domain.domain, domain.users)
    for directory in start.directories:
        add_directory(cloud, directory)
    for name in start.security_groups:
        made = cloud.client("ec2").create_security_group(GroupName=name, Description=name, VpcId=cloud.vpc)
        cloud.named[name] = made["GroupId"]
        tcp = {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535}
        open_group(cloud, cloud.home, made["GroupId"], cidrs_of(cloud, cloud.home, cloud.vpc), tcp)
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
    cloud.part(Roles).made.clear()
    cloud.calls.clear()
    cloud.faults = Faults(start.faults)
    cloud.part(DefaultBus).delivery = start.events


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
        deployment.deploy_directory_account(cloud, directory.account, placed.vpc)
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
    furnish_directory(cloud, found, directory.lets_in)
    if directory.stage == "Active" and directory.type == "MicrosoftAD":
        cloud.directories.activate(found)
        create_users(cloud, found.directory_id, directory.users)
        add_groups(cloud, found.directory_id, directory.groups)
        for trust in directory.trusts:
            add_trust(cloud, found, trust)
    cloud.directories.data(found.directory_id).access = directory.data_access
    if directory.shared:
        share = sharing.new_share(cloud, found, cloud.home, method="HANDSHAKE", status=directory.shared)
        sharing.show(cloud, share)
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
        made = cluster_of(cloud, cluster.id)
        made.created = made.cluster_create_time = made.earliest_restorable_time = datetime.combine(cluster.made, time())
        made._enable_http_endpoint = cluster.data_api
        if cluster.secondary:
            cloud.part(Aurora).secondaries.add(places.written(cluster.id))
        for name in cluster.instances if cluster.instances is not None else [f"{cluster.id}-1", f"{cluster.id}-2"]:
            client.create_db_instance(
                DBInstanceIdentifier=name,
                DBClusterIdentifier=cluster.id,
                Engine=cluster.engine,
                DBInstanceClass="db.r6g.large",
            )
            instance = moto_rds(cloud).databases[name]
            instance.instance_create_time = made.created
            instance.status = cluster.instance_status.get(name, "available")
        if not cluster.vpc:
            made.db_subnet_group_name, made.vpc_security_group_ids = None, []
        made.status = cluster.status
        if cluster.becomes_available is not None:
            cloud.clock.call_later(cluster.becomes_available, lambda: setattr(made, "status", "available"))
        cloud.part(Aurora).failing_joins[places.written(cluster.id)] = cluster.failing_joins
        add_master_secret(cloud, cluster, made)
        furnish_cluster(cloud, made, group, cluster.lets_in, cluster.lets_out)
        if cluster.membership:
            add_membership(cloud, cluster.membership, made)
        add_beliefs(cloud, cluster, made)


def add_beliefs(cloud: Cloud, cluster: Cluster, made: Any) -> None:
    """What runs of long ago have written into the registry about a cluster, and into its tags."""
    believed: dict[str, dict[str, str]] = {registry.MADE: {}} if cluster.made_here else {}
    if cluster.restart_due:
        believed[registry.RESTART] = {"since": AFTER_JOINING, "reason": "joined"}
        made.add_tags([{"Key": names.RESTART_TAG, "Value": AFTER_JOINING}])
    resource = cloud.client("rds").describe_db_clusters(DBClusterIdentifier=cluster.id)["DBClusters"][0]
    for kind, fields in believed.items():
        values = {"arn": f"{kind}{resource['DBClusterArn']}", "resource_id": resource["DbClusterResourceId"], **fields}
        cloud.client("dynamodb").put_item(
            TableName=cloud.deployed[Place(cloud.account, cloud.region)].outputs["Registry"],
            Item=items.written(values),
        )


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
    made.port = cloud.databases.add(cluster.id, endpoints(made), MASTER, password, cluster.sql)


def add_membership(cloud: Cloud, membership: Membership, made: Any) -> None:
    """The cluster joined, or tried to, long ago."""
    directory = cloud.directories.id_here(membership.directory)
    for member in members(made):
        member.domain_memberships = [DomainMembership(directory, membership.role)]
    set_status(made, membership.status)
    if membership.status == "kerberos-enabled":
        cloud.databases.join(made.resource_id, endpoints(made), cloud.directories.realm(directory))
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
    for name, within in groups.items():
        data.add("GROUP", name, members=[member.lower() for member in within])
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
