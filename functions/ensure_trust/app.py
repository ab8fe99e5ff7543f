"""Step 2: makes a forest trust with each on-premises domain whose users may log in."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos.aws import client, code, message, redacted, secret
from aurora_kerberos.errors import (
    AwsRefused,
    DirectoryAccountRoleMissing,
    TrustDiffers,
    TrustFailed,
    TrustNotVerified,
)
from aurora_kerberos.plan import Directory, Trust
from aurora_kerberos.step import MINUTE, Ready, Waiting, step

DEADLINE = 30 * MINUTE

# "TrustDirection", "TrustType" and "TrustState" of the API reference of Trust.
DIRECTIONS = {"outgoing": "One-Way: Outgoing", "two-way": "Two-Way"}
TYPE = "Forest"
CHANGING = {"Creating", "Updating", "Deleting"}
UNVERIFIED = {"Created", "Updated", "VerifyFailed"}
BROKEN = {"Failed", "UpdateFailed"}

LIKELY_CAUSES = (
    "Likely causes: the trust is not made on the on-premises side yet; its password there is not the one of the secret "
    "{secret}; the DNS servers {dns_ips} do not answer for {domain}; a firewall between the domain controllers (TCP "
    "and UDP 53, 88, 389 and 464; TCP 135, 445, 636, 3268-3269 and 49152-65535); clocks that differ by five minutes. "
    "Mend it, then start again. If the secret held the wrong password, correct it and delete the trust in the "
    "directory as well: it is made anew."
)


class Arguments(TypedDict):
    """`directory`: the outputs of `ensure_directory`; `trusts` of the plan."""

    directory: Directory
    trusts: list[Trust]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when every trust is Verified, with the trusted realms."""
    directory, trusts = arguments["directory"], arguments["trusts"]
    if not trusts:
        return Ready({"realms": []})
    if directory["shared"] and not directory["role"]:
        raise DirectoryAccountRoleMissing(
            f"The directory {directory['id']} is shared by the account {directory['owner_account'] or 'that owns it'}, "
            "and only there a trust can be made.",
            "Set the stack's parameter DirectoryAccountRole to a role of that account, or take the trusts out of the "
            "list of trusts and make them there.",
        )
    try:
        found, forwarders = trusts_of(directory), forwarders_of(directory)
        for wanted in trusts:
            refuse_different(wanted, found.get(wanted["domain"], {}))
            refuse_repointing(wanted, forwarders.get(wanted["domain"]))
        waiting = [ensure(directory, each, found.get(each["domain"]), each["domain"] in forwarders) for each in trusts]
    except ClientError as error:
        if code(error) not in {"DirectoryUnavailableException", "EntityAlreadyExistsException"}:
            raise
        return Waiting(f"Directory {directory['id']} is busy", deadline=DEADLINE)
    left = [each for each in waiting if each]
    return left[0] if left else Ready({"realms": [wanted["domain"].upper() for wanted in trusts]})


def trusts_of(directory: Directory) -> dict[str, dict[str, Any]]:
    """The directory's trusts by lower-case domain (`ds:DescribeTrusts`)."""
    pages = client("ds", directory["role"]).get_paginator("describe_trusts").paginate(DirectoryId=directory["id"])
    trusts = [trust for page in pages for trust in page["Trusts"] if trust["TrustState"] != "Deleted"]
    return {plain(trust["RemoteDomainName"]): trust for trust in trusts}


def forwarders_of(directory: Directory) -> dict[str, set[Any]]:
    """The addresses of the directory's conditional forwarders, by lower-case domain.

    (`ds:DescribeConditionalForwarders`.)
    """
    answer = client("ds", directory["role"]).describe_conditional_forwarders(DirectoryId=directory["id"])
    return {plain(each["RemoteDomainName"]): addresses(each) for each in answer["ConditionalForwarders"]}


def plain(domain: str) -> str:
    """A domain's name as the plan writes it."""
    return domain.lower().rstrip(".")


def refuse_different(wanted: Trust, found: Mapping[str, Any]) -> None:
    """Refuse a trust that is there and is another one, before any is changed."""
    asked = f"{TYPE}, {DIRECTIONS[wanted['direction']]}"
    there = f"{found.get('TrustType', TYPE)}, {found.get('TrustDirection', '')}"
    if found and found["TrustState"] != "Deleting" and there != asked:
        raise TrustDiffers(
            f"The trust {found['TrustId']} with {wanted['domain']} is ({there}), and ({asked}) is asked for.",
            "Change the direction in the list of trusts, or delete the trust in AWS Directory Service and on the "
            "on-premises side, then start again.",
        )


def refuse_repointing(wanted: Trust, there: set[Any] | None) -> None:
    """Refuse to send the directory to other DNS servers of a domain than somebody has told it."""
    if there is not None and there != {ip_address(ip) for ip in wanted["dns_ips"]}:
        raise TrustDiffers(
            f"The conditional forwarder for {wanted['domain']} leads to {', '.join(sorted(map(str, there)))}, and "
            f"{', '.join(wanted['dns_ips'])} is asked for.",
            "Write the forwarder's addresses into the list of trusts, or correct it in AWS Directory Service (`aws ds "
            "update-conditional-forwarder`), then start again.",
        )


def ensure(directory: Directory, wanted: Trust, found: Mapping[str, Any] | None, forwarder: bool) -> Waiting | None:
    """Do the next missing thing for one trust; return None when it is Verified.

    `forwarder` is whether the directory has a conditional forwarder for the domain.
    """
    domain, state = wanted["domain"], found["TrustState"] if found else ""
    if found and state in BROKEN:
        raise TrustFailed(
            f"The trust {found['TrustId']} with {domain} is {state}. {reason(found, wanted)}",
            "Mend what AWS names, delete the trust in AWS Directory Service, then start again: it is made anew.",
        )
    if state in CHANGING:
        return Waiting(f"Trust with {domain} is {state}", deadline=DEADLINE)
    if not found:
        create(directory, wanted, {} if forwarder else by_family("ConditionalForwarder", wanted["dns_ips"]))
        return Waiting(f"Trust with {domain} is Creating", deadline=DEADLINE)
    if not forwarder:
        client("ds", directory["role"]).create_conditional_forwarder(
            DirectoryId=directory["id"], RemoteDomainName=domain, **by_family("Dns", wanted["dns_ips"])
        )
    if state == "Verified":
        return None
    if state in UNVERIFIED:
        client("ds", directory["role"]).verify_trust(TrustId=found["TrustId"])
    # The reason stays the same until the trust is Verified, so that the deadline ends the attempts.
    otherwise = TrustNotVerified(
        f"The trust {found['TrustId']} with {domain} is {state} after {DEADLINE // MINUTE} minutes. "
        f"{reason(found, wanted)}",
        LIKELY_CAUSES.format(secret=wanted["password_secret"], dns_ips=", ".join(wanted["dns_ips"]), domain=domain),
    )
    return Waiting(f"Trust with {domain} is not Verified yet", deadline=DEADLINE, otherwise=otherwise)


def reason(found: Mapping[str, Any], wanted: Trust) -> str:
    """The reason that AWS gives for a trust's state."""
    said = found.get("TrustStateReason") or ""
    if not said:
        return "AWS gives no reason."
    return f"AWS says: {said.replace(secret(wanted['password_secret'], 'password')['password'], '***')}"


def by_family(prefix: str, dns_ips: list[str]) -> dict[str, list[str]]:
    """The addresses as parameters of the API: IPv4 and IPv6 are separate, and an empty list is left out."""
    families = {f"{prefix}IpAddrs": 4, f"{prefix}Ipv6Addrs": 6}
    parted = {name: [ip for ip in dns_ips if ip_address(ip).version == family] for name, family in families.items()}
    return {name: ips for name, ips in parted.items() if ips}


def addresses(forwarder: Mapping[str, Any]) -> set[Any]:
    """The addresses of a forwarder, without regard to their order and notation."""
    return {ip_address(ip) for name in ("DnsIpAddrs", "DnsIpv6Addrs") for ip in forwarder.get(name) or []}


def create(directory: Directory, wanted: Trust, forwarder: Mapping[str, list[str]]) -> None:
    """Create this side of the trust, and the conditional forwarder that it needs (`ds:CreateTrust`)."""
    password = secret(wanted["password_secret"], "password")["password"]
    try:
        client("ds", directory["role"]).create_trust(
            DirectoryId=directory["id"],
            RemoteDomainName=wanted["domain"],
            TrustPassword=password,
            TrustDirection=DIRECTIONS[wanted["direction"]],
            TrustType=TYPE,
            **forwarder,
        )
    except ClientError as error:
        said = message(redacted(error, password))
        if code(error) == "EntityAlreadyExistsException":
            return  # somebody else was faster
        if code(error) not in {"InvalidParameterException", "ClientException", "UnsupportedOperationException"}:
            raise
        raise AwsRefused(
            f"AWS refused to create a trust with {wanted['domain']}: {said}",
            f"Correct the trust in the list of trusts, or the password in the secret {wanted['password_secret']}.",
        ) from None
