"""The krb5.conf of a client of a cluster (step 8 of the guide)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def conf(domains: Mapping[str, Sequence[str]]) -> str:
    """A krb5.conf that needs no DNS: it has the domain controllers' addresses, and Aurora's endpoints by realm.

    Args:
        domains: DNS name → addresses of the domain controllers, the directory's own domain before the trusted ones.
            Each address may have a port.
    """
    default_realm = next(iter(domains)).upper()
    realms = "".join(realm(name.upper(), addresses) for name, addresses in domains.items())
    own = "".join(f"  .{name} = {name.upper()}\n  {name} = {name.upper()}\n" for name in domains)
    return f"""\
[libdefaults]
  default_realm = {default_realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1

[realms]
{realms}
[domain_realm]
{own}\
  .rds.amazonaws.com = {default_realm}
  .amazonaws.com.cn = {default_realm}
"""


def realm(name: str, addresses: Sequence[str]) -> str:
    """One entry of [realms]."""
    kdcs = "".join(f"    kdc = {address}\n" for address in addresses)
    admin = f"    admin_server = {addresses[0]}\n" if addresses else ""
    return f"  {name} = {{\n{kdcs}{admin}  }}\n"
