"""Trusts of AWS Directory Service as far as moto does not know them, and on-premises domains with a KDC of their own.

A trust that is verified is a real one: both KDCs get the same cross-realm keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.core.calls import Parameters, aftermath, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.services.directory.directories import Directories, microsoft_ad

CREATING = 60  # virtual seconds
VERIFYING = 45


@fake("ds", "CreateTrust")
def check_trust(cloud: Cloud, parameters: Parameters) -> None:
    """What moto lets pass: a second trust with a domain."""
    directory = microsoft_ad(cloud, parameters["DirectoryId"])
    domain = parameters["RemoteDomainName"].lower()
    if any(trust.remote_domain_name.lower() == domain and trust.trust_state != "Deleted" for trust in directory.trusts):
        raise AwsError("EntityAlreadyExistsException", f"A trust with {domain} exists already.")


@aftermath("ds", "CreateTrust")
def trust_created(cloud: Cloud, parameters: Parameters, answer: Mapping[str, Any]) -> None:
    """Creating, then Created; without a way to the domain's DNS servers it fails."""
    directory = microsoft_ad(cloud, parameters["DirectoryId"])
    (trust,) = [each for each in directory.trusts if each.trust_id == answer["TrustId"]]
    forwarders = cloud.part(Directories).forwarders(directory.directory_id)
    addresses = forwarder_addresses(parameters, "ConditionalForwarder")
    if addresses:
        forwarders[trust.remote_domain_name.lower()] = addresses

    def created() -> None:
        known = trust.remote_domain_name.lower() in forwarders
        trust.trust_state = "Created" if known else "Failed"
        trust.trust_state_reason = "" if known else "The specified domain does not exist or could not be contacted."
        cloud.happened(f"the trust with {trust.remote_domain_name} is {trust.trust_state}")

    cloud.clock.call_later(CREATING, created)


@fake("ds", "DescribeTrusts")
def check_describe_trusts(cloud: Cloud, parameters: Parameters) -> None:
    """What moto lets pass: another account's directory that is shared with this one."""
    if "DirectoryId" in parameters:
        microsoft_ad(cloud, parameters["DirectoryId"])


@fake("ds", "VerifyTrust")
def verify_trust(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """Verifying, then what came of it."""
    directory, trust = trust_of(cloud, parameters["TrustId"])
    trust.trust_state = "Verifying"

    def verified() -> None:
        trust.trust_state_reason = obstacle(cloud, directory, trust)
        trust.trust_state = "VerifyFailed" if trust.trust_state_reason else "Verified"
        cloud.happened(f"the trust with {trust.remote_domain_name} is {trust.trust_state}")
        if trust.trust_state == "Verified":
            cloud.part(Directories).let_trust(directory, trust.remote_domain_name.lower(), trust.trust_password)

    cloud.clock.call_later(VERIFYING, verified)
    return {"TrustId": trust.trust_id}


def trust_of(cloud: Cloud, trust_id: str) -> tuple[Any, Any]:
    """moto's directory and trust of that id, in the account of the call."""
    for directory in cloud.part(Directories).of_account(cloud.account):
        for trust in directory.trusts:
            if trust.trust_id == trust_id and directory.directory_type == "MicrosoftAD":
                return directory, trust
    raise AwsError("EntityDoesNotExistException", f"Trust {trust_id} does not exist.")


def obstacle(cloud: Cloud, directory: Any, trust: Any) -> str:
    """Why the two sides do not come together; empty when they do. The words are those of the local run."""
    domain = trust.remote_domain_name.lower()
    other = cloud.part(Directories).on_premises.get(domain)
    addresses = cloud.part(Directories).forwarders(directory.directory_id).get(domain, {})
    listed = [ip for ips in addresses.values() for ip in ips]
    if other is None or not listed or not set(listed) <= set(other.dns_ips):
        return f"The domain {domain} could not be contacted at {', '.join(listed) or 'any address'}."
    if not other.password:
        return f"The domain {domain} does not know of the trust."
    if other.password != trust.trust_password:
        return "The trust password is not the one of the remote domain."
    return ""


def forwarder_addresses(parameters: Parameters, prefix: str) -> dict[str, list[str]]:
    """The addresses in a call's parameters, as DescribeConditionalForwarders names them."""
    families = {"DnsIpAddrs": f"{prefix}IpAddrs", "DnsIpv6Addrs": f"{prefix}Ipv6Addrs"}
    return {name: list(parameters[given]) for name, given in families.items() if parameters.get(given)}


@fake("ds", "DescribeConditionalForwarders")
def describe_conditional_forwarders(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """All of a directory, or those of the named domains."""
    forwarders = cloud.part(Directories).forwarders(microsoft_ad(cloud, parameters["DirectoryId"]).directory_id)
    named = [name.lower() for name in parameters.get("RemoteDomainNames", forwarders)]
    if missing := [name for name in named if name not in forwarders]:
        raise AwsError("EntityDoesNotExistException", f"There is no conditional forwarder for {missing[0]}.")
    return {
        "ConditionalForwarders": [
            {"RemoteDomainName": name, "ReplicationScope": "Domain", **forwarders[name]} for name in named
        ]
    }


@fake("ds", "CreateConditionalForwarder")
def create_conditional_forwarder(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """A second one for a domain is refused."""
    directory = microsoft_ad(cloud, parameters["DirectoryId"])
    if directory.stage != "Active":
        raise AwsError("DirectoryUnavailableException", f"Directory {directory.directory_id} is {directory.stage}.")
    forwarders = cloud.part(Directories).forwarders(directory.directory_id)
    domain = parameters["RemoteDomainName"].lower()
    if domain in forwarders:
        raise AwsError("EntityAlreadyExistsException", f"There is a conditional forwarder for {domain} already.")
    addresses = forwarder_addresses(parameters, "Dns")
    if not 0 < sum(map(len, addresses.values())) <= 4:
        raise AwsError("InvalidParameterException", "One to four addresses are needed.")
    forwarders[domain] = addresses
    return {}
