"""Where AWS documents Kerberos for Aurora PostgreSQL. Other Regions and versions get a warning, and are not refused.

Source: "Supported Regions and Aurora DB engines for Kerberos authentication", Aurora user guide.
"""

from __future__ import annotations

REGIONS = set(
    """
    af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1
    ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1 ca-west-1
    cn-north-1 cn-northwest-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3
    il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-gov-east-1 us-gov-west-1
    us-west-1 us-west-2
    """.split()  # noqa: SIM905  a table is read better than thirty-eight quoted names
)
MAJOR_VERSIONS = range(11, 18)


def warnings(region: str, engine_version: str) -> list[str]:
    """Warnings about a Region and an engine version that are not in the documentation; empty when both are."""
    found = []
    if region not in REGIONS:
        found.append(f"The Region {region} is not in the list of Regions with Kerberos for Aurora PostgreSQL.")
    major = engine_version.partition(".")[0]
    if not major.isdecimal() or int(major) not in MAJOR_VERSIONS:
        found.append(f"Aurora PostgreSQL {engine_version} is not in the list of versions with Kerberos.")
    return found
