"""Whose certificates a database may have: those of RDS's authorities, or of others that the stack's owner names."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aurora_kerberos.aws import secret_text
from aurora_kerberos.environment import environment
from aurora_kerberos.errors import SecretUnusable

BUNDLE = Path(__file__).with_name("authorities.pem")  # written by `make authorities`

# Where AWS has RDS's authorities, by the beginning of a Region's name ("Using SSL/TLS to encrypt a connection to a DB
# cluster", Aurora user guide, and its edition for the China Regions).
TRUST_STORES = {
    "": "https://truststore.pki.rds.amazonaws.com",
    "us-gov-": "https://truststore.pki.us-gov-west-1.rds.amazonaws.com",
    "cn-": "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn",
}


def address(region: str) -> str:
    """Where AWS has the authorities of a Region, as a PEM file."""
    store = [store for beginning, store in TRUST_STORES.items() if region.startswith(beginning)][-1]
    return f"{store}/{region}/{region}-bundle.pem"


@contextmanager
def trusted() -> Iterator[str]:
    """The path of a PEM file with the authorities: the layer's, or those in the secret AuthoritiesSecret of the stack.

    Raises:
        SecretUnusable: the secret is missing, or holds no certificate.
    """
    name = environment.authorities_secret
    if not name:
        yield str(BUNDLE)
        return
    remedy = "Store a PEM file of certificate authorities as the text of the secret, or leave AuthoritiesSecret empty."
    text = secret_text(name, remedy)
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise SecretUnusable(f"The secret {name} holds no PEM certificate.", remedy)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(text)
        file.flush()
        yield file.name
