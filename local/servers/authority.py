"""Certificates of the servers of the local run, and the authority that signs them, which stands for RDS's."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority with a key of its own; `pem` is its certificate."""

    def __init__(self, name: str = "Local run Root CA") -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self.pem = _pem(self._signed(self._name, self._key, constraints))

    def issue(self, folder: Path, names: Sequence[str]) -> None:
        """Write a server's `server.crt`, for its names in DNS, and `server.key`.

        An instance's certificate has the endpoints of its cluster ("Using SSL/TLS to encrypt a connection to a DB
        cluster"), and its common name is cut where X.509 ends it, so that only the other names count.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        extension = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        (folder / "server.crt").write_text(_pem(self._signed(subject, key, extension)))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "server.key").write_bytes(private)
        (folder / "server.key").chmod(0o600)

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )


@cache
def authority() -> Authority:
    """The authority of this process, which signs for all clusters."""
    return Authority()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
