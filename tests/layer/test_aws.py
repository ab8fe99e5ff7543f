"""What counts as later, as denied and as refused, what a text must not hold, and what a client is made with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from aurora_kerberos import aws
from aurora_kerberos.errors import AccessDenied, AwsRefused, AwsUnavailable, KerberosError, SecretUnusable

# Written twice on purpose: what goes missing in the code is missed here.
LATER = [
    "BandwidthLimitExceeded",
    "ConcurrentModification",
    "EC2ThrottledException",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceException",
    "ServiceFailure",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
]
DENIED = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "AuthorizationError"]


def error(code: str, status: int = 400, message: str = "said") -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "ModifyDBCluster")


def translated(found: Any) -> KerberosError:
    result = aws.translate(found)
    assert result.message.endswith("said") or not isinstance(found, ClientError)
    return result


def test_what_botocore_tries_again_is_waited_for() -> None:
    """But for LimitExceededException, which is a quota as well: it does not pass by itself."""
    lists = (ThrottledRetryableChecker, "_THROTTLED_ERROR_CODES"), (TransientRetryableChecker, "_TRANSIENT_ERROR_CODES")
    again = {code for checker, name in lists for code in vars(checker)[name]}  # botocore has no other name for them
    refused = [each for each in again if not isinstance(translated(error(each)), AwsUnavailable)]
    assert refused == ["LimitExceededException"]


@pytest.mark.parametrize("code", LATER)
def test_what_aws_says_of_its_load_is_later(code: str) -> None:
    assert type(translated(error(code))) is AwsUnavailable


@pytest.mark.parametrize("code", DENIED)
def test_what_aws_says_of_permissions_is_denied(code: str) -> None:
    assert type(translated(error(code, 403))) is AccessDenied


@pytest.mark.parametrize(
    ("status", "kind"),
    [(428, AwsRefused), (429, AwsUnavailable), (430, AwsRefused), (499, AwsRefused)]
    + [(status, AwsUnavailable) for status in (500, 501, 503)],
)
def test_an_unknown_code_is_judged_by_its_status(status: int, kind: type[KerberosError]) -> None:
    assert type(translated(error("SomethingNew", status))) is kind


def test_an_error_without_a_status_is_a_refusal() -> None:
    """As those of a job, which AWS hands out in an answer that is fine."""
    assert type(aws.translate(ClientError({"Error": {"Code": "X", "Message": "said"}}, "Call"))) is AwsRefused
    assert type(aws.translate(ClientError({}, "Call"))) is AwsRefused


def test_what_is_no_answer_of_aws_is_later() -> None:
    assert type(aws.translate(NoCredentialsError())) is AwsUnavailable


def test_the_password_is_in_no_part_of_the_error() -> None:
    found = aws.redacted(error("X", message="hidden: 'hidden' is too short"), "hidden")
    assert aws.message(found) == "***: '***' is too short"
    assert "hidden" not in str(found)
    assert "***" in str(found)
    assert "hidden" not in repr(found.args)
    assert "hidden" not in json.dumps(found.response)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    aws.client.cache_clear()
    aws.session.cache_clear()
    yield
    aws.client.cache_clear()
    aws.session.cache_clear()


@pytest.mark.usefixtures("plain")
def test_a_client_is_patient_for_a_moment_only() -> None:
    config = aws.client("rds").meta.config
    assert (config.connect_timeout, config.read_timeout) == (3, 20)
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}
    assert aws.client("rds", attempts=1).meta.config.retries["total_max_attempts"] == 1


@pytest.mark.usefixtures("plain")
def test_a_client_is_of_the_functions_region_or_of_the_one_that_is_named() -> None:
    assert aws.client("rds").meta.region_name == "eu-central-1"
    assert aws.client("rds", where="eu-west-1").meta.region_name == "eu-west-1"
    assert aws.client("rds") is aws.client("rds")


@pytest.mark.usefixtures("plain")
def test_a_session_of_a_role_assumes_it_with_the_external_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTERNAL_ID", "ours")
    made: dict[str, Any] = {}

    class Fetcher:
        def __init__(self, **arguments: Any) -> None:
            made.update(arguments)

        def fetch_credentials(self) -> dict[str, str]:
            return {
                "access_key": "of-the-role",
                "secret_key": "x",
                "token": "x",
                "expiry_time": "2999-01-01T00:00:00+00:00",
            }

    monkeypatch.setattr(aws, "AssumeRoleCredentialFetcher", Fetcher)
    role = "arn:aws:iam::210987654321:role/far"
    assert isinstance(aws.session(""), boto3.Session)
    found = aws.session(role)
    assert found.region_name == "eu-central-1"
    credentials: Any = found.get_credentials()
    assert credentials.access_key == "of-the-role"
    assert made["role_arn"] == role
    assert made["extra_args"]["ExternalId"] == "ours"


class Secrets:
    """A client of Secrets Manager that has one secret, or one error."""

    def __init__(self, answer: dict[str, Any] | ClientError) -> None:
        self.answer = answer

    def get_secret_value(self, **_: str) -> dict[str, Any]:
        if isinstance(self.answer, ClientError):
            raise self.answer
        return self.answer


def read(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | ClientError) -> dict[str, str]:
    monkeypatch.setattr(aws, "client", lambda _: Secrets(answer))
    return aws.secret("master", "username", "password")


def test_of_a_secret_the_named_fields_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"username": "a", "password": 7, "host": "x"})
    assert read(monkeypatch, {"SecretString": text}) == {"username": "a", "password": "7"}


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidRequestException", "DecryptionFailure"])
def test_a_secret_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    with pytest.raises(SecretUnusable, match="The secret master cannot be read: said"):
        read(monkeypatch, error(code))


def test_what_else_aws_says_of_a_secret_stays_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        read(monkeypatch, error("AccessDeniedException"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"SecretString": '{"username": "a"}'}, r"The secret master has no 'password'\."),
        ({"SecretString": "[]"}, r"has no 'username' and no 'password'\."),
        ({"SecretString": "hidden"}, r"The secret master is not JSON\."),
        ({"SecretBinary": b"hidden"}, r"The secret master is not JSON\."),
    ],
)
def test_a_secret_without_what_is_needed_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], said: str
) -> None:
    with pytest.raises(SecretUnusable, match=said) as raised:
        read(monkeypatch, answer)
    assert "Store a JSON object with 'username' and 'password'" in str(raised.value)
    assert "hidden" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
