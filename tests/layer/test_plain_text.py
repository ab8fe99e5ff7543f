"""What people write, and AWS says, has no lines of its own in a mail, and no characters that a reader does not see."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from aurora_kerberos import names, request

BAD = ["\n", "\r", "\x00", "\x1b[2J", "\u2028", "\u202e", "\u200b", "\x85"]


def trust(address: str) -> dict[str, Any]:
    return {"domain": "onprem.example.com", "dns_ips": [address]}


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::1%\nWhat to do: pay", "10.0.0.1\n", "::1%"])
def test_an_address_has_no_scope_and_no_lines(address: str) -> None:
    with pytest.raises(ValidationError):
        request.Trust.model_validate(trust(address))


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
def test_an_address_is_one(address: str) -> None:
    assert [str(each) for each in request.Trust.model_validate(trust(address)).dns_ips] == [address]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    "write",
    [
        request.Principal.model_validate,
        lambda text: request.Principal.model_validate({"name": "alice", "roles": [text]}),
        lambda text: request.PrincipalGroup.model_validate({"group": text}),
        lambda text: request.PrincipalGroup.model_validate({"group": "dba", "map_to": text}),
        lambda text: request.Trust.model_validate({**trust("10.0.0.1"), "domain": f"{text}.example.com"}),
        lambda text: request.User.model_validate({"name": text}),
        lambda text: request.User.model_validate({"name": "alice", "given_name": text}),
        lambda text: request.User.model_validate({"name": "alice", "surname": text}),
        lambda text: request.User.model_validate({"name": "alice", "email": text}),
        lambda text: request.Group.model_validate({"name": text}),
        lambda text: request.Request.model_validate({"cluster": text}),
        lambda text: request.Request.model_validate({"cluster": "orders", "database": text}),
        lambda text: request.Request.model_validate({"cluster": "orders", "master_secret": text}),
        lambda text: request.Rollout.model_validate({"accounts": [f"12345678901{text}2"]}),
        lambda text: request.Rollout.model_validate({"regions": [f"eu-central-1{text}"]}),
    ],
)
def test_no_text_that_is_written_holds_what_is_not_seen(write: Any, bad: str) -> None:
    for text in (f"a{bad}", f"{bad}a", f"a{bad}b"):
        with pytest.raises(ValidationError):
            write(text)


@pytest.mark.parametrize("bad", BAD)
def test_what_is_quoted_in_a_mail_has_no_lines_of_its_own(bad: str) -> None:
    plain = names.plain(f" no route{bad}to  orders – ä ")
    assert plain.isprintable()
    assert plain.startswith("no route ")
    assert plain.endswith("to orders – ä")
