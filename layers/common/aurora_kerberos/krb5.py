"""The krb5.conf of a client of a cluster (step 8 of the guide)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class Directory(TypedDict):
    """The outputs of `ensure_directory`, as far as a Kerberos client needs them."""

    realm: str
    dns_name: str
    dns_ips: list[str]


def conf(directory: Directory, trusts: Sequence[Mapping[str, Any]]) -> str:
    """A krb5.conf that needs no DNS: the domain controllers by address, Aurora's endpoints in the directory's realm.

    The DNS servers of a trusted domain (`trusts` of the plan) are taken for its domain controllers, as they are in
    every Active Directory whose DNS is its own.
    """
    domains = {directory["dns_name"]: directory["dns_ips"], **{trust["domain"]: trust["dns_ips"] for trust in trusts}}
    realms = "".join(realm(name.upper(), addresses) for name, addresses in domains.items())
    own = "".join(f"  .{name} = {name.upper()}\n  {name} = {name.upper()}\n" for name in domains)
    return f"""\
[libdefaults]
  default_realm = {directory["realm"]}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1

[realms]
{realms}
[domain_realm]
{own}\
  .rds.amazonaws.com = {directory["realm"]}
  .amazonaws.com.cn = {directory["realm"]}
"""


def realm(name: str, addresses: Sequence[str]) -> str:
    """One entry of [realms]."""
    kdcs = "".join(f"    kdc = {address}\n" for address in addresses)
    admin = f"    admin_server = {addresses[0]}\n" if addresses else ""
    return f"  {name} = {{\n{kdcs}{admin}  }}\n"
