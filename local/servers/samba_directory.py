"""What is done to the database of a Samba domain controller, through Samba's own Python modules.

Those modules are there for the system's Python alone, so this is a program of its own that imports nothing of the
project: `python3 -I local/samba_directory.py <smb.conf>` reads requests from standard input until there are no more, a
line of JSON each: {"do": operation, ...its arguments}. For each it writes a line {"answer": ...} or {"error": ...} to
standard output. `local/active_directory.py` is who asks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import ldb
from samba import dckeytab  # noqa: F401  gives Net its export_keytab
from samba.auth import system_session
from samba.dcerpc import drsblobs, lsa, security
from samba.dsdb import DS_DOMAIN_FUNCTION_2008_R2
from samba.ndr import ndr_pack, ndr_unpack
from samba.net import Net
from samba.param import LoadParm
from samba.provision import provision
from samba.samdb import SamDB

AES = 8 | 16  # AES128 and AES256 of msDS-SupportedEncryptionTypes
IN_CHAIN = "1.2.840.113556.1.4.1941"  # the matching rule that follows groups in groups


class Directory:
    """One domain controller's database; each public method is an operation."""

    def __init__(self, conf: str) -> None:
        self._lp = LoadParm()
        self._lp.load(conf)
        self._conf = conf
        self._opened: Any = None

    @property
    def _db(self) -> Any:
        if self._opened is None:
            path = f"{self._lp.get('private dir')}/sam.ldb"
            self._opened = SamDB(path, session_info=system_session(), lp=self._lp)
        return self._opened

    def provision(self) -> None:
        """Make the database, as the settings say."""
        provision(
            logging.getLogger(__name__),
            system_session(),
            smbconf=self._conf,
            lp=self._lp,
            realm=self._lp.get("realm"),
            domain=self._lp.get("workgroup"),
            hostname="dc",
            hostip="127.0.0.1",
            serverrole="active directory domain controller",
            dns_backend="NONE",
            dom_for_fun_level=DS_DOMAIN_FUNCTION_2008_R2,  # the highest that each of Samba's versions has
        )

    def add_user(self, name: str, password: str) -> None:
        self._db.newuser(name, password)

    def add_service(self, name: str, password: str) -> None:
        """An account of its own for a service principal, with keys for AES alone."""
        account = f"svc-{hashlib.sha256(name.lower().encode()).hexdigest()[:12]}"
        self._db.newuser(account, password)
        self._modify(account, servicePrincipalName=name, **{"msDS-SupportedEncryptionTypes": str(AES)})

    def delete(self, name: str) -> None:
        self._db.delete(self._dn(name))

    def has(self, name: str) -> bool:
        return bool(self._find(name))

    def export(self, path: str, names: list[str]) -> None:
        """Add the present keys of accounts or services to a keytab."""
        net = Net(None, self._lp)
        for name in names:
            self._dn(name)  # an unknown name would leave the keytab without a word
            net.export_keytab(keytab=path, principal=name)

    def enable(self, name: str) -> None:
        self._db.enable_account(f"(sAMAccountName={ldb.binary_encode(name)})")

    def disable(self, name: str) -> None:
        self._db.disable_account(f"(sAMAccountName={ldb.binary_encode(name)})")

    def set_password(self, name: str, password: str) -> None:
        self._db.setpassword(f"(sAMAccountName={ldb.binary_encode(name)})", password)

    def add_group(self, name: str) -> None:
        self._db.newgroup(name)

    def add_member(self, group: str, name: str) -> None:
        self._member(group, name, ldb.FLAG_MOD_ADD)

    def remove_member(self, group: str, name: str) -> None:
        self._member(group, name, ldb.FLAG_MOD_DELETE)

    def members(self, group: str, nested: bool) -> list[str]:
        """The names of a group's members, users and groups; or of all users in it and in the groups in it."""
        rule = f":{IN_CHAIN}:" if nested else ""
        kind = "(objectClass=user)" if nested else ""
        expression = f"(&(memberOf{rule}={ldb.binary_encode(str(self._dn(group)))}){kind})"
        found = self._db.search(self._db.domain_dn(), ldb.SCOPE_SUBTREE, expression, ["sAMAccountName"])
        return sorted(str(entry["sAMAccountName"][0]) for entry in found)

    def sid(self, name: str) -> str:
        """A user's or a group's security identifier."""
        (entry,) = self._db.search(self._dn(name), ldb.SCOPE_BASE, attrs=["objectSid"])
        return str(ndr_unpack(security.dom_sid, entry["objectSid"][0]))

    def domain(self) -> dict[str, str]:
        """What the other side of a trust has to know."""
        return {
            "dns_name": self._lp.get("realm").lower(),
            "netbios_name": self._lp.get("workgroup"),
            "sid": self._db.get_domain_sid(),
        }

    def add_trust(self, other: dict[str, str], password: str, trusting: bool, trusted: bool) -> None:
        """This domain's side of a trust between forests: the object that the KDC goes by.

        The key of `krbtgt/<this>@<other>`, for tickets that come in, is made of what stands in trustAuthOutgoing; that
        of `krbtgt/<other>@<this>`, for tickets handed out, of trustAuthIncoming. What else a trust has, an account for
        the other domain's controllers and the names of the other forest, serves protocols that are not served here.

        Args:
            other: the other domain, as its `domain` tells it.
            password: the same on both sides.
            trusting: users of the other domain may use services of this one.
            trusted: the other way.
        """
        outgoing, incoming = lsa.LSA_TRUST_DIRECTION_OUTBOUND, lsa.LSA_TRUST_DIRECTION_INBOUND
        entry = {
            "dn": self._trust_dn(other),
            "objectClass": "trustedDomain",
            "trustPartner": other["dns_name"],
            "flatName": other["netbios_name"],
            "securityIdentifier": ndr_pack(security.dom_sid(other["sid"])),
            "trustType": str(lsa.LSA_TRUST_TYPE_UPLEVEL),
            "trustAttributes": str(lsa.LSA_TRUST_ATTRIBUTE_FOREST_TRANSITIVE),
            "trustDirection": str((outgoing if trusting else 0) | (incoming if trusted else 0)),
            "msDS-SupportedEncryptionTypes": str(AES),
        }
        if trusting:
            entry["trustAuthOutgoing"] = trust_secret(password)
        if trusted:
            entry["trustAuthIncoming"] = trust_secret(password)
        self._db.add(entry)

    def end_trust(self, other: dict[str, str]) -> None:
        """This domain's side of a trust ends."""
        self._db.delete(self._trust_dn(other))

    def _trust_dn(self, other: dict[str, str]) -> str:
        return f"CN={other['dns_name']},CN=System,{self._db.domain_dn()}"

    def _find(self, name: str) -> list[Any]:
        word = ldb.binary_encode(name)
        expression = f"(|(sAMAccountName={word})(servicePrincipalName={word}))"
        return list(self._db.search(self._db.domain_dn(), ldb.SCOPE_SUBTREE, expression, ["sAMAccountName"]))

    def _dn(self, name: str) -> Any:
        found = self._find(name)
        if not found:
            raise LookupError(f"The directory has no {name}.")
        return found[0].dn

    def _modify(self, name: str, **attributes: str) -> None:
        message = ldb.Message(self._dn(name))
        for attribute, value in attributes.items():
            message[attribute] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, attribute)
        self._db.modify(message)

    def _member(self, group: str, name: str, change: int) -> None:
        message = ldb.Message(self._dn(group))
        message["member"] = ldb.MessageElement(str(self._dn(name)), change, "member")
        self._db.modify(message)


def trust_secret(password: str) -> Any:
    """A password in the form of trustAuthIncoming and trustAuthOutgoing."""
    secret = password.encode("utf-16-le")
    clear = drsblobs.AuthInfoClear()
    clear.size = len(secret)
    clear.password = list(secret)
    information = drsblobs.AuthenticationInformation()
    information.AuthType = lsa.TRUST_AUTH_TYPE_CLEAR
    information.AuthInfo = clear
    current = drsblobs.AuthenticationInformationArray()
    current.count = 1
    current.array = [information]
    blob = drsblobs.trustAuthInOutBlob()
    blob.count = 1
    blob.current = current
    return ndr_pack(blob)


def main() -> None:
    """Do what standard input asks for."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever Samba may print is no answer
    directory = Directory(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        operation: Callable[..., Any] = getattr(directory, request.pop("do"))
        try:
            answer = {"answer": operation(**request)}
        except Exception as error:  # noqa: BLE001  who asks decides
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
