"""The certificate authorities that the layer ships, and the command that renews them."""

from __future__ import annotations

import datetime
import io
import tarfile
import warnings
from pathlib import Path

import pytest
from cryptography import x509
from psycopg2.extensions import libpq_version

from aurora_kerberos.authorities import BUNDLE
from aurora_kerberos.availability import REGIONS
from local.servers.authority import Authority
from tools import authorities

KINDS = {"ECC384", "RSA2048", "RSA4096"}
# README.md says so: stacks there name a secret as AuthoritiesSecret.
WITHOUT = {
    *("ap-east-2", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-west-1", "il-central-1", "mx-central-1"),
    *("cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-gov-west-1"),
}
SHIPPED = authorities.authorities(BUNDLE.read_text())
TODAY = datetime.date(2026, 11, 27)


def test_each_certificate_of_the_bundle_is_an_authority_of_rds() -> None:
    blocks = authorities.BLOCK.findall(BUNDLE.read_text())
    assert len(blocks) == len(SHIPPED) == len({each.pem for each in SHIPPED})
    for certificate in map(x509.load_pem_x509_certificate, map(str.encode, blocks)):
        assert certificate.subject == certificate.issuer
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical
        assert constraints.value.ca


def test_every_region_has_one_of_each_kind_or_is_named_as_one_without() -> None:
    kinds: dict[str, set[str]] = {}
    for each in SHIPPED:
        kinds.setdefault(each.region, set()).add(each.kind)
    assert set(kinds) == REGIONS - WITHOUT
    assert all(found == KINDS for found in kinds.values())


def test_the_readme_names_the_regions_without() -> None:
    readme = Path("README.md").read_text()
    assert [region for region in sorted(WITHOUT) if f"`{region}`" not in readme] == []


def test_none_expires_within_a_generation_of_the_bundle() -> None:
    """At a fixed date, for a test is to say the same each day; `make authorities` says which is the first to expire."""
    assert min(each.expires for each in SHIPPED) > datetime.date(2055, 1, 1)


def test_the_layer_s_libpq_knows_who_may_ask_for_what() -> None:
    assert libpq_version() >= 160000  # `require_auth` is of libpq 16


def test_the_bundle_says_where_it_is_from_and_of_which_day() -> None:
    first, second, _ = BUNDLE.read_text().split("\n", 2)
    assert "written on 20" in first
    assert second.startswith("# Source: ")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "authorities.pem"
    monkeypatch.setattr(authorities, "BUNDLE", path)
    return path


def test_a_renewal_of_the_same_writes_the_same(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "source.pem").write_text("\n".join(each.pem for each in reversed(SHIPPED)))
    said = authorities.renew([str(tmp_path / "source.pem")], TODAY)
    assert authorities.authorities(bundle.read_text()) == SHIPPED
    assert bundle.read_text().splitlines()[:2] == [
        "# RDS's certificate authorities, written on 2026-11-27 by `python -m tools authorities`.",
        "# Source: source.pem",
    ]
    assert "27 Regions; the first to expire is that of af-south-1 (RSA2048) on 2061-05-19" in said
    assert f"Without authorities: {' '.join(sorted(WITHOUT))}." in said


def test_the_archive_of_npm_is_read(bundle: Path, tmp_path: Path) -> None:
    lines = SHIPPED[0].pem.splitlines()
    script = " +\n".join(f"    '{line}\\n'" for line in lines).encode()
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("package/lib/defaults.js")
        member.size = len(script)
        archive.addfile(member, io.BytesIO(script))
    authorities.renew([str(tmp_path / "a.tgz")], TODAY)
    assert authorities.authorities(bundle.read_text()) == SHIPPED[:1]


@pytest.mark.parametrize("name", ["Amazon RDS Beta us-east-1 Root CA RSA4096 G1", "Amazon RDS Root 2019 CA", "Else"])
def test_other_authorities_are_left_out(bundle: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "source.pem").write_text(Authority(name).pem)
    with pytest.raises(ValueError, match=r"No certificate authority of RDS is in .*source\.pem"):
        authorities.renew([str(tmp_path / "source.pem")], TODAY)
    assert not bundle.exists()


def test_a_name_alone_makes_no_authority(tmp_path: Path) -> None:
    name = "Amazon RDS eu-central-1 Root CA RSA2048 G1"
    Authority("Else").issue(tmp_path, [name])
    with pytest.raises(ValueError, match="is no certificate authority"):
        authorities.authorities((tmp_path / "server.crt").read_text())


def test_without_a_source_aws_s_own_trust_stores_are_read(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def read(source: str) -> str:
        asked.append(source)
        return SHIPPED[0].pem

    monkeypatch.setattr(authorities, "read", read)
    authorities.renew([], TODAY)
    assert asked == [
        "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem",
        "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem",
        "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem",
    ]
    assert asked[0] in bundle.read_text()


def test_openssl_reads_the_bundle_with_its_comments() -> None:
    import ssl  # noqa: PLC0415  only here

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(BUNDLE)
    assert len(context.get_ca_certs()) == len(SHIPPED)
