"""What people write: which input is taken, which is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_kerberos.errors import InvalidRequest
from aurora_kerberos.request import Principal, Request, TagEvent, parse, parse_json

EVENTS = Path(__file__).parent.parent / "events"
REALM = "CORP.EXAMPLE.COM"


def principal(value: Any) -> Principal:
    return parse(Principal, value, "The input")


def test_one_line_is_enough() -> None:
    request = parse(Request, {"cluster": "orders"}, "The input")
    assert (request.cluster, request.principals, request.database) == ("orders", None, "postgres")


@pytest.mark.parametrize("name", ["console.json", "console-principals.json"])
def test_the_examples_are_taken(name: str) -> None:
    assert parse_json(Request, (EVENTS / name).read_text(), "The input").cluster == "orders"


@pytest.mark.parametrize("way", ["create", "restore", "restore_to_time"])
def test_the_examples_of_clusters_to_be_made_are_taken(way: str) -> None:
    text = (EVENTS / f"console-{way.replace('_', '-')}.json").read_text()
    request = parse_json(Request, text, "The input")
    assert (request.cluster, request.creations) == ("sales", [way])


def test_a_cluster_is_named_as_rds_does() -> None:
    assert parse(Request, {"cluster": "Orders"}, "The input").cluster == "orders"


def test_the_tag_event_stands_for_its_cluster() -> None:
    event = parse(TagEvent, json.loads((EVENTS / "tag-change.json").read_text()), "The tag event")
    assert event.request().cluster == "arn:aws:rds:eu-central-1:123456789012:cluster:orders"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "cluster: Field required"),
        ({"cluster": "orders", "principles": []}, "principles: Extra inputs are not permitted"),
        ({"cluster": "no_such name"}, "cluster"),
        ({"cluster": "orders", "principals": [{"name": ""}]}, "principals.0.name: is empty"),
        ({"cluster": "orders", "principals": [{"name": " alice"}]}, "white space"),
        ({"cluster": "orders", "principals": ["ali\0ce"]}, "control character"),
        ({"cluster": "orders", "principals": ["a" * 64]}, "has 64 bytes"),
        ({"cluster": "orders", "principals": [{"name": "a@B.C", "realm": "D.E"}]}, "realm"),
        ({"cluster": "orders", "principals": [{"name": "alice", "roles": ["ä" * 32]}]}, "has 64 bytes"),
        ({"cluster": "sales", "create": {"parameters": {}}}, "create.instances: Field required"),
        ({"cluster": "sales", "create": {"instances": [{}]}}, "create.parameters: Field required"),
        ({"cluster": "sales", "restore": {"parameters": {}, "instances": []}}, "restore.instances: List should have"),
        ({"cluster": "sales", "restoreToTime": {}}, "restoreToTime: Extra inputs are not permitted"),
        ([], "valid dictionary"),
    ],
)
def test_what_is_refused_is_named(value: Any, said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(Request, value, "The input")
    assert said in refused.value.message
    assert refused.value.remedy


def test_a_principal_is_written_as_the_guide_does() -> None:
    assert principal("Alice").written("corp.example.com") == "alice@CORP.EXAMPLE.COM"
    assert principal("bob@onprem.example.com").written(REALM) == "bob@ONPREM.EXAMPLE.COM"
    assert principal({"name": "carol", "realm": "Other.Example.Com"}).written(REALM) == "carol@OTHER.EXAMPLE.COM"


def test_quotes_are_legal() -> None:
    assert principal("o'brien\"; DROP ROLE x").written(REALM) == "o'brien\"; drop role x@CORP.EXAMPLE.COM"


@given(st.text(min_size=1, max_size=80))
def test_a_principal_that_is_taken_is_one_that_postgresql_does_not_cut(name: str) -> None:
    try:
        written = principal({"name": name}).written(REALM)
    except InvalidRequest:
        return
    assert 0 < len(written.encode()) <= 63
    assert "\0" not in written


@given(st.integers(1, 63))
def test_63_bytes_are_taken_and_64_are_not(length: int) -> None:
    name = "a" * length
    if length + len("@CORP.EXAMPLE.COM") <= 63:
        assert principal(name).written(REALM).startswith(name)
    else:
        with pytest.raises(InvalidRequest, match="bytes"):
            principal(name).written(REALM)


def test_text_that_is_no_json_is_refused_with_the_place() -> None:
    with pytest.raises(InvalidRequest, match=r"The parameter /p is not JSON: .*line 1"):
        parse_json(list[Principal], "[alice]", "The parameter /p")
