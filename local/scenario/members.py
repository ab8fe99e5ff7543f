"""Accounts of the organization in the local cloud: the member template is deployed there, as a StackSet would do it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from moto.s3.models import s3_backends

from deploy import member_template
from local import deployment
from local.cloud import Cloud
from local.core import places
from local.core.places import Place
from local.services.ec2.vpcs import Networks

BUCKET = "artifacts"


def deploy(cloud: Cloud, place: Place, parameters: Mapping[str, str]) -> None:
    """Deploy the member template, with the network of the place's SSM parameters, and the code of home's bucket."""
    defaults = {name: str(each.get("Default")) for name, each in member_template.PARAMETERS.items()}
    upload(cloud, place.region)
    with places.at(place):
        network, ssm = cloud.part(Networks).own(), cloud.client("ssm")
        ssm.put_parameter(Name=defaults["VpcId"], Type="String", Value=network.vpc)
        ssm.put_parameter(Name=defaults["SubnetIds"], Type="StringList", Value=",".join(network.subnets))
    given = {"VpcId": defaults["VpcId"], "SubnetIds": defaults["SubnetIds"], "ArtifactBucket": BUCKET}
    cloud.deploy(*place, {**parameters, **given}, template())


@cache
def template() -> str:
    """The member template as JSON, less what moto cannot make."""
    made = member_template.template(artifacts())
    resources = made["Resources"].items()
    known = {name: resource for name, resource in resources if resource["Type"] not in deployment.UNKNOWN_TO_MOTO}
    return json.dumps({**made, "Resources": known})


def artifacts() -> dict[str, str]:
    """Names of zips that nobody has built: in the local cloud, functions run from their source."""
    return {name: f"{name}.zip" for name in member_template.code_of_the_member()}


def upload(cloud: Cloud, region: str) -> None:
    """Put something in the place of each zip into home's bucket of a Region, for moto looks whether it is there."""
    bucket = f"{BUCKET}-{region}"
    if bucket in s3_backends[cloud.home]["aws"].buckets:
        return
    s3 = cloud.client("s3", cloud.home, region)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    for name in artifacts().values():
        key = f"{member_template.PARAMETERS[member_template.PREFIX]['Default']}/{name}"
        s3.put_object(Bucket=bucket, Key=key, Body=b"not built")
