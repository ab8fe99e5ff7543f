"""What the policies ask beside action and resource: each condition, and a call outside it, which is refused.

The calls are those that AWS would check, with the condition keys of the resources there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from deploy import templates
from local import deployment
from local.cloud import Cloud
from local.core import places
from local.core.calls import Call, calling
from local.core.faults import AwsError, Unmodelled
from local.core.places import HOME, Place
from local.scenario.format import AtStart, Cluster, Directory
from local.scenario.prepare import prepare
from local.services.ec2.vpcs import Vpc, peer
from local.services.iam import policies, resources
from local.services.iam.sts import assume_role

FAR = "222222222222"
LISTED = Place("333333333333", HOME.region)  # where the stack names one more VPC
THIRD = "444444444444"
FAR_ROLE = f"arn:aws:iam::{FAR}:role/{templates.DIRECTORY_ACCOUNT_ROLE}"
MEMBER = f"aurora-kerberos-member-{HOME.region}"
OURS = {"Key": "managed-by", "Value": "aurora-kerberos"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """The stack with all its parts, one VPC beside its own, and a directory of another account."""
    parameters = {"Rollout": "on", "ManagementAccountId": HOME.account, "DirectoryAccountRole": FAR_ROLE}
    with Cloud(parameters) as running:
        vpcs = [
            Vpc(name="beside", cidrs=["10.1.0.0/16"]),
            Vpc(name="far", cidrs=["10.2.0.0/16"], account=FAR),
            Vpc(name="far-beside", cidrs=["10.3.0.0/16"], account=FAR),
            Vpc(name="third", cidrs=["10.4.0.0/16"], account=THIRD),
            Vpc(name="listed", cidrs=["10.5.0.0/16"], account=LISTED.account),
            Vpc(name="not-listed", cidrs=["10.6.0.0/16"], account=LISTED.account),
        ]
        directory = Directory(dns_name="corp.example.com", account=FAR, vpc="far")
        clusters = [Cluster(id="untagged"), Cluster(id="wanted", tags={"kerberos": "enabled"})]
        clusters.append(Cluster(id="unwanted", tags={"kerberos": "disabled"}))
        prepare(running, AtStart(vpcs=vpcs, directories=[directory], clusters=clusters))
        running.deploy(*LISTED, {"NetworkVpcIds": f"vpc-0,{running.networks.named('listed').vpc}"})
        yield running


def allowed(cloud: Cloud, who: str, service: str, operation: str, place: Place = HOME, /, **parameters: Any) -> bool:
    """Whether a function (its logical id), or a role (its name), may make the call."""
    with places.at(place):
        role = cloud.functions.role(who) if who in templates.functions() else who
        call = Call(who, service, operation, parameters, account=place.account)
        try:
            policies.authorize(cloud, call, role)
        except AwsError:
            return False
        return True


def within(cloud: Cloud, name: str, kind: str) -> str:
    """The id of a security group or a route table in the VPC of that name."""
    network = cloud.networks.named(name)
    ec2, of_vpc = cloud.client("ec2", network.account), [{"Name": "vpc-id", "Values": [network.vpc]}]
    if kind == "security-group":
        return str(ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"][0]["GroupId"])
    return str(ec2.describe_route_tables(Filters=of_vpc)["RouteTables"][0]["RouteTableId"])


CHANGES = {
    "AuthorizeSecurityGroupIngress": ("GroupId", "security-group"),
    "AuthorizeSecurityGroupEgress": ("GroupId", "security-group"),
    "CreateRoute": ("RouteTableId", "route-table"),
}


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "operation"),
    [("EnsureDatabaseAccess", "AuthorizeSecurityGroupIngress"), *[("EnsureNetwork", each) for each in CHANGES]],
)
def test_rules_and_routes_are_made_in_the_named_vpcs_alone(cloud: Cloud, who: str, operation: str) -> None:
    name, kind = CHANGES[operation]
    for vpc, place, may in (
        ("default", HOME, True),
        ("beside", HOME, False),
        ("listed", LISTED, True),
        ("not-listed", LISTED, False),
    ):
        with places.at(place):
            found = within(cloud, vpc, kind)
        assert allowed(cloud, who, "ec2", operation, place, **{name: found}) == may, vpc


@pytest.mark.parametrize("operation", ["AuthorizeSecurityGroupIngress", "CreateRoute"])
def test_in_the_directory_s_account_they_are_made_in_the_directory_s_vpc_alone(cloud: Cloud, operation: str) -> None:
    name, kind = CHANGES[operation]
    place, role = Place(FAR, HOME.region), templates.DIRECTORY_ACCOUNT_ROLE
    assert allowed(cloud, role, "ec2", operation, place, **{name: within(cloud, "far", kind)})
    assert not allowed(cloud, role, "ec2", operation, place, **{name: within(cloud, "far-beside", kind)})


def test_a_peering_is_asked_for_by_a_named_vpc_alone_and_has_our_tag_and_no_other(cloud: Cloud) -> None:
    def asked(vpc: str, *tags: Mapping[str, str], place: Place = HOME) -> bool:
        with places.at(place):
            of, to = cloud.networks.named(vpc), cloud.networks.named("far")
        peering = {"VpcId": of.vpc, "PeerVpcId": to.vpc, "PeerOwnerId": to.account}
        tagged = [{"ResourceType": "vpc-peering-connection", "Tags": list(tags)}]
        return allowed(
            cloud, "EnsureNetwork", "ec2", "CreateVpcPeeringConnection", place, **peering, TagSpecifications=tagged
        )

    assert asked("default", OURS)
    assert asked("listed", OURS, place=LISTED)
    assert not asked("beside", OURS)
    assert not asked("not-listed", OURS, place=LISTED)
    assert not asked("default", {**OURS, "Value": "somebody-else"})
    assert not asked("default", OURS, {"Key": "owner", "Value": "me"})


@pytest.mark.parametrize(
    ("asks", "asked", "accepts", "modifies"),
    [
        ("far", "default", True, True),
        ("default", "far", False, True),
        ("far", "beside", False, False),
        ("beside", "far", False, False),
    ],
)
def test_a_peering_is_accepted_and_modified_for_a_named_vpc_alone(
    cloud: Cloud, asks: str, asked: str, accepts: bool, modifies: bool
) -> None:
    name = {"VpcPeeringConnectionId": peer(cloud, cloud.networks.named(asks), cloud.networks.named(asked), "pending")}
    assert allowed(cloud, "EnsureNetwork", "ec2", "AcceptVpcPeeringConnection", **name) == accepts
    assert allowed(cloud, "EnsureNetwork", "ec2", "ModifyVpcPeeringConnectionOptions", **name) == modifies


@pytest.mark.parametrize(
    ("asks", "asked", "accepts", "modifies"),
    [
        ("default", "far", True, True),
        ("far", "default", False, True),
        ("default", "far-beside", False, False),
        ("third", "far", False, False),
        ("far", "third", False, False),
    ],
)
def test_the_directory_s_account_is_peered_with_the_workflow_s_account_alone(
    cloud: Cloud, asks: str, asked: str, accepts: bool, modifies: bool
) -> None:
    name = {"VpcPeeringConnectionId": peer(cloud, cloud.networks.named(asks), cloud.networks.named(asked), "pending")}
    place, role = Place(FAR, HOME.region), templates.DIRECTORY_ACCOUNT_ROLE
    assert allowed(cloud, role, "ec2", "AcceptVpcPeeringConnection", place, **name) == accepts
    assert allowed(cloud, role, "ec2", "ModifyVpcPeeringConnectionOptions", place, **name) == modifies


def test_what_aws_makes_for_a_new_directory_is_in_the_stack_s_vpc(cloud: Cloud) -> None:
    """No call shows what the service does in the caller's name."""
    held = list(policies.statements_of(HOME.account, cloud.functions.role("EnsureDirectory")))
    for action, kind in (
        ("ec2:AuthorizeSecurityGroupEgress", "security-group"),
        ("ec2:AuthorizeSecurityGroupIngress", "security-group"),
        ("ec2:CreateNetworkInterface", "security-group"),
        ("ec2:CreateNetworkInterface", "subnet"),
    ):
        arn = cloud.arn("ec2", f"{kind}/one")
        for name, may in (("default", True), ("beside", False)):
            vpc = cloud.arn("ec2", f"vpc/{cloud.networks.named(name).vpc}")
            assert policies.allows(held, action, arn, {"ec2:Vpc": vpc}) == may
        assert not policies.allows(held, action, arn)
    beside = cloud.arn("ec2", f"vpc/{cloud.networks.named('beside').vpc}")
    assert not policies.allows(held, "ec2:CreateSecurityGroup", beside)


# --- clusters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "refused"), [("EnsureMembership", "unwanted"), ("LeaveDomain", "wanted")])
def test_no_cluster_is_modified_against_its_tag(cloud: Cloud, who: str, refused: str) -> None:
    clusters = ("untagged", "wanted", "unwanted")
    may = {each for each in clusters if allowed(cloud, who, "rds", "ModifyDBCluster", DBClusterIdentifier=each)}
    assert may == {*clusters} - {refused}


@pytest.mark.parametrize(
    ("tags", "may"),
    [
        ({"kerberos": "enabled", "kerberos-rollout": "one"}, True),
        ({"kerberos": "disabled", "kerberos-rollout": "one"}, False),
        ({"kerberos": "Enabled"}, False),
        ({"kerberos-rollout": "one"}, False),
        ({"kerberos": "enabled", "kerberos-apply": "now"}, False),
    ],
)
def test_a_rollout_tags_what_it_is_to_tag(cloud: Cloud, tags: Mapping[str, str], may: bool) -> None:
    given = [{"Key": key, "Value": value} for key, value in tags.items()]
    arn = cloud.cluster_arn("untagged")
    assert allowed(cloud, MEMBER, "rds", "AddTagsToResource", ResourceName=arn, Tags=given) == may


# --- the directory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["EnsureDirectoryUsers", templates.DIRECTORY_ACCOUNT_ROLE])
def test_nobody_is_let_administer_the_directory(cloud: Cloud, who: str) -> None:
    place = Place(FAR, HOME.region) if who == templates.DIRECTORY_ACCOUNT_ROLE else HOME

    def added(group: str) -> bool:
        member = {"DirectoryId": "d-0123456789", "GroupName": group, "MemberName": "mallory"}
        return allowed(cloud, who, "ds-data", "AddGroupMember", place, **member)

    def updated(name: str) -> bool:
        of = {"DirectoryId": "d-0123456789", "SAMAccountName": name}
        return allowed(cloud, who, "ds-data", "UpdateUser", place, **of)

    assert added("orders-team")
    assert not added("AWS Delegated Administrators")
    assert not added("aws delegated ADMINISTRATORS")
    assert not added("AWS Delegated Group Policy Administrators")
    assert updated("alice")
    assert not updated("admin")


def test_a_directory_is_made_with_our_tag_and_no_other(cloud: Cloud) -> None:
    def made(*tags: Mapping[str, str]) -> bool:
        return allowed(cloud, "EnsureDirectory", "ds", "CreateMicrosoftAD", Tags=list(tags))

    assert made(OURS)
    assert not made()
    assert not made({**OURS, "Value": "somebody-else"})
    assert not made(OURS, {"Key": "owner", "Value": "me"})


# --- who is trusted ---------------------------------------------------------------------------------------------------


def assumed(cloud: Cloud, caller: str, arn: str) -> bool:
    """Whether a caller of the home account (the ARN of his role) is let in to a role, with the external id."""
    calling.role = caller
    try:
        assume_role(cloud, {"RoleArn": arn, "RoleSessionName": "test", "ExternalId": deployment.EXTERNAL_ID})
    except AwsError:
        return False
    finally:
        calling.role = ""
    return True


def of_functions(cloud: Cloud, arn: str) -> set[str]:
    """The functions whose roles are let in."""
    roles = {each: resources.role_arn(cloud, cloud.functions.role(each)) for each in templates.functions()}
    return {each for each, role in roles.items() if assumed(cloud, role, arn)}


@pytest.mark.parametrize(
    ("arn", "functions"),
    [
        (f"arn:aws:iam::{HOME.account}:role/{MEMBER}", {"DiscoverClusters", "EnrollCluster"}),
        (
            FAR_ROLE,
            {
                "EnsureDirectory",
                "EnsureDirectoryShare",
                "EnsureDirectoryUsers",
                "EnsureNetwork",
                "EnsureTrust",
                "ValidateRequest",
            },
        ),
    ],
)
def test_roles_trust_the_functions_that_come_there_and_nobody_else_of_the_account(
    cloud: Cloud, arn: str, functions: set[str]
) -> None:
    assert of_functions(cloud, arn) == functions
    for role in ("admin", "aurora-kerberos-EnrollCluster", "x-aurora-kerberos-EnsureTrustRole-0"):
        assert not assumed(cloud, f"arn:aws:iam::{HOME.account}:role/{role}", arn)
    assert not assumed(cloud, f"arn:aws:iam::{HOME.account}:user/aurora-kerberos-EnrollClusterRole-0", arn)


@pytest.mark.parametrize("function", ["DiscoverClusters", "EnrollCluster", "EnsureDirectory", "ValidateRequest"])
def test_a_function_may_assume_the_roles_that_it_uses(cloud: Cloud, function: str) -> None:
    roles = {"far": FAR_ROLE, "member": f"arn:aws:iam::{FAR}:role/{MEMBER}", "other": f"arn:aws:iam::{FAR}:role/admin"}
    may = {name for name, arn in roles.items() if allowed(cloud, function, "sts", "AssumeRole", RoleArn=arn)}
    assert may == ({"member"} if function in {"DiscoverClusters", "EnrollCluster"} else {"far"})


RULES = templates.source()["Rules"]
PARAMETERS = templates.source()["Parameters"]


def let(**given: str) -> bool:
    """Whether CloudFormation takes these parameters, as the template's rules have it."""
    known = {name: str(each.get("Default", "")) for name, each in PARAMETERS.items()} | given
    return all(
        holds(each["Assert"], known)
        for rule in RULES.values()
        if holds(rule["RuleCondition"], known)
        for each in rule["Assertions"]
    )


def holds(rule: Any, known: Mapping[str, str]) -> Any:
    """A rule's function, evaluated ("Rule-specific intrinsic functions", AWS CloudFormation user guide)."""
    match rule:
        case {"Ref": str(name)}:
            return known[name]
        case {"Fn::Or": list(each)}:
            return any(holds(one, known) for one in each)
        case {"Fn::Not": [one]}:
            return not holds(one, known)
        case {"Fn::Equals": [one, other]}:
            return holds(one, known) == holds(other, known)
    assert isinstance(rule, str)
    return rule


@pytest.mark.parametrize(
    "given", [{"Rollout": "on"}, {"ManagementAccountId": HOME.account}, {"DirectoryAccountRole": FAR_ROLE}]
)
def test_an_external_id_is_asked_for_wherever_a_role_is_assumed(given: dict[str, str]) -> None:
    assert let()
    assert not let(**given)
    assert let(**given, ExternalId="one-of-our-own")
    assert "Default" not in templates.directory_account()["Parameters"]["ExternalId"]


# --- what lies about --------------------------------------------------------------------------------------------------

GUARDED = {
    "AWS::S3::Bucket": ("AWS::S3::BucketPolicy", "Bucket"),
    "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", "Topics"),
    "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", "Queues"),
}
DECLARED = templates.source()["Resources"]


@pytest.mark.parametrize("name", [name for name, each in DECLARED.items() if each["Type"] in GUARDED])
def test_what_is_not_tls_is_refused(name: str) -> None:
    """By a policy of its own, whoever it is that asks."""
    kind, of = GUARDED[DECLARED[name]["Type"]]
    (found,) = [
        each
        for each in DECLARED.values()
        if each["Type"] == kind and {"Ref": name} in resources.listed(each["Properties"][of])
    ]
    statements = found["Properties"]["PolicyDocument"]["Statement"]
    (denies,) = [each for each in statements if each["Effect"] == "Deny"]
    assert denies["Principal"] == "*"
    assert name in str(denies["Resource"])
    assert policies.conditions_hold(denies["Condition"], {"aws:SecureTransport": "false"})
    assert not policies.conditions_hold(denies["Condition"], {"aws:SecureTransport": "true"})
    assert found.get("Condition") == DECLARED[name].get("Condition")


def test_alarms_of_this_account_and_region_publish_and_no_others() -> None:
    alarms, _ = DECLARED["NotificationsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ours = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:*"
    assert alarms["Condition"] == {"ArnLike": {"aws:SourceArn": {"Fn::Sub": ours}}}


def test_what_is_overwritten_in_the_bucket_is_kept_for_a_while() -> None:
    bucket = DECLARED["RolloutBucket"]["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["NoncurrentVersionExpiration"]) == ("Enabled", {"NoncurrentDays": 90})


# --- the local IAM itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "wanted", "context", "expected"),
    [
        ("StringEquals", "a", {"key": "a"}, True),
        ("StringEquals", "a", {"KEY": "a"}, True),
        ("StringEquals", "a", {"key": "A"}, False),
        ("StringEquals", ["a", "b"], {"key": "b"}, True),
        ("StringEquals", "", {}, False),
        ("StringLike", "*", {}, False),
        ("StringLike", "a*", {"key": "abc"}, True),
        ("StringEqualsIgnoreCase", "a", {"key": "A"}, True),
        ("StringNotEquals", "a", {"key": "a"}, False),
        ("StringNotEquals", ["a", "b"], {"key": "b"}, False),
        ("StringNotEquals", "a", {"key": "b"}, True),
        ("StringNotEquals", "a", {}, True),
        ("StringNotEqualsIgnoreCase", "a", {"key": "A"}, False),
        ("ForAllValues:StringEquals", "a", {}, True),
        ("ForAllValues:StringEquals", "a", {"key": ["a", "b"]}, False),
        ("Bool", "false", {"key": "false"}, True),
        ("Bool", "false", {}, False),
        ("ArnEquals", "arn:aws:ec2:*:*:vpc/a", {"key": "arn:aws:ec2:eu-central-1:1:vpc/a"}, True),
        ("ArnLike", "arn:*:vpc/a", {"key": "arn:aws:ec2:eu-central-1:1:vpc/a"}, False),
        ("ArnLike", "arn:aws:iam::1:role/a-*", {"key": "arn:aws:iam::1:role/a-b:c"}, True),
    ],
)
def test_operators_are_iam_s(operator: str, wanted: Any, context: Any, expected: bool) -> None:
    assert policies.conditions_hold({operator: {"key": wanted}}, context) == expected


def test_an_operator_that_is_not_known_is_no_silent_allow() -> None:
    with pytest.raises(Unmodelled, match="NumericLessThan"):
        policies.conditions_hold({"NumericLessThan": {"key": "1"}}, {})
