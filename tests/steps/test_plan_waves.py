"""A rollout's plan: who is in which wave, who is left out and why, and what a second start makes of the first."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_kerberos.errors import InvalidRequest
from aurora_kerberos.request import Rollout, parse
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.core.places import HOME
from local.services.lambda_functions import ROOT, load
from tests.steps.conftest import Step, StepFailed
from tests.steps.rollouts import (
    EXECUTION,
    FAR,
    ID,
    LATER,
    NOW,
    SECOND,
    arn,
    called,
    read,
    record,
    recorded,
    rollout_cloud,
    write,
)

load(ROOT / "functions" / "plan_waves")
plan_waves: Any = sys.modules["functions_plan_waves"]

HERE = {"account": Cloud.home, "region": HOME.region}


def found(name: str, state: str = "to do", why: str = "", **tags: str) -> dict[str, Any]:
    """A cluster as `discover_clusters` has found it."""
    return {"arn": arn(name), "id": name, **HERE, "tags": tags, "state": state, "why": why}


# --- the waves, whatever there is -------------------------------------------------------------------------------------


def valid(waves: list[int | str]) -> bool:
    try:
        parse(Rollout, {"waves": waves}, "The input")
    except InvalidRequest:
        return False
    return True


WAVES = st.one_of(
    st.sets(st.integers(1, 60), min_size=1, max_size=5).map(sorted),
    st.sets(st.integers(1, 100), min_size=1, max_size=5).map(lambda sizes: [f"{size}%" for size in sorted(sizes)]),
    st.lists(st.integers(1, 60) | st.integers(1, 100).map(lambda size: f"{size}%"), min_size=1, max_size=6).filter(
        valid
    ),
)
STATES = st.lists(st.sampled_from(["to do", "to do", "to do", "unfit", "already enabled", "left out"]), max_size=60)


def planned(states: list[str]) -> list[dict[str, Any]]:
    return [{**found(f"c-{number}", state), "wave": 0} for number, state in enumerate(states)]


def asked_for(size: int | str, total: int) -> int:
    """How many clusters are to be done after a wave, of so many; any part of a cluster is a whole one."""
    return min(size, total) if isinstance(size, int) else ceil(Fraction(int(size[:-1]) * total, 100))


@given(STATES, WAVES)
def test_each_cluster_to_do_is_in_one_wave_or_left_out_with_the_reason(states: list[str], sizes: Any) -> None:
    clusters = planned(states)
    waves = plan_waves.in_waves(clusters, set(), sizes)
    assert {wave["number"]: wave["size"] for wave in waves} == {
        number: sum(cluster["wave"] == number for cluster in clusters)
        for number in sorted({cluster["wave"] for cluster in clusters} - {0})
    }
    for before, cluster in zip(states, clusters, strict=True):
        if before != "to do":
            assert (cluster["state"], cluster["wave"]) == (before, 0)
        elif cluster["wave"]:
            assert (cluster["state"], cluster["why"]) == ("to do", "")
        else:
            assert (cluster["state"], cluster["why"]) == ("left out", "The waves do not reach it.")


@given(STATES, WAVES)
def test_after_each_wave_as_many_are_done_as_were_asked_for(states: list[str], sizes: Any) -> None:
    clusters, total = planned(states), states.count("to do")
    waves = plan_waves.in_waves(clusters, set(), sizes)
    assert [wave["number"] for wave in waves] == sorted({wave["number"] for wave in waves})
    for number in range(1, len(sizes) + 1):
        done = sum(wave["size"] for wave in waves if wave["number"] <= number)
        assert done == max(asked_for(size, total) for size in sizes[:number])


@given(STATES, WAVES, st.randoms(use_true_random=False))
def test_the_order_in_which_clusters_are_found_says_nothing(states: list[str], sizes: Any, luck: random.Random) -> None:
    clusters = planned(states)
    shuffled = [dict(cluster) for cluster in clusters]
    luck.shuffle(shuffled)
    assert plan_waves.in_waves(clusters, set(), sizes) == plan_waves.in_waves(shuffled, set(), sizes)
    assert {each["arn"]: each["wave"] for each in clusters} == {each["arn"]: each["wave"] for each in shuffled}


@given(STATES, WAVES, st.data())
def test_a_second_start_keeps_the_waves_of_who_is_left(states: list[str], sizes: Any, data: st.DataObject) -> None:
    """Who was enabled by the first one stays where he was, and counts."""
    first, second = planned(states), planned(states)
    plan_waves.in_waves(first, set(), sizes)
    enrolled = sorted(each["arn"] for each in first if each["wave"])
    done = set(data.draw(st.lists(st.sampled_from(enrolled), unique=True)) if enrolled else [])
    for each in second:
        if each["arn"] in done:
            each["state"] = "already enabled"
    waves = plan_waves.in_waves(second, done, sizes)
    assert all(wave["size"] > 0 for wave in waves)
    for before, after in zip(first, second, strict=True):
        assert after["wave"] == (0 if after["arn"] in done else before["wave"])
        assert after["state"] == ("already enabled" if after["arn"] in done else before["state"])


def test_the_first_wave_is_no_account_s_or_name_s_privilege() -> None:
    """A wave is a sample of all accounts: its order is none that people see."""
    clusters = planned(["to do"] * 50)
    plan_waves.in_waves(clusters, set(), ["20%", "100%"])
    first = [number for number, cluster in enumerate(clusters) if cluster["wave"] == 1]
    assert len(first) == 10
    assert first != list(range(10))
    assert max(first) > 25


# --- the function -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with rollout_cloud() as running:
        yield running


def discovered(cloud: Cloud, *clusters: Mapping[str, Any], refused: str = "", execution: str = "first") -> None:
    """The home account and Region have been looked at."""
    write(cloud, "targets.json", [HERE], execution)
    looked = {**HERE, "refused": refused, "clusters": list(clusters)}
    write(cloud, f"discovered/{cloud.home}.{cloud.region}.json", looked, execution)


def plan(step: Step, execution: str = EXECUTION, now: str = NOW, **request: Any) -> dict[str, Any]:
    asked = parse(Rollout, request, "The input").model_dump()
    outputs: dict[str, Any] = step("PlanWaves", rollout=ID, request=asked, execution=execution, now=now)["outputs"]
    return outputs


def by_id(cloud: Cloud, execution: str = "first") -> dict[str, dict[str, Any]]:
    """The clusters of the plan."""
    return {each["id"]: each for each in read(cloud, "plan.json", execution)["clusters"]}


def test_the_plan_says_all_and_each_wave_has_its_clusters(cloud: Cloud, step: Step) -> None:
    names = ["orders", "sales", "stock"]
    discovered(cloud, *map(found, names), found("web", "unfit", "It runs aurora-mysql."))
    outputs = plan(step, waves=[1, "100%"])
    assert outputs == {"waves": [{"number": 1, "size": 1}, {"number": 2, "size": 2}], "first": 1, "began_at": NOW}
    made = read(cloud, "plan.json")
    assert (made["rollout"], made["execution"], made["began_at"]) == (ID, EXECUTION, NOW)
    assert (made["waves"], made["request"]["waves"], made["refused"]) == (outputs["waves"], [1, "100%"], [])
    first, second = read(cloud, "waves/1.json"), read(cloud, "waves/2.json")
    assert sorted(item["id"] for item in [*first, *second]) == names
    assert [set(item) for item in first] == [{"arn", "id", "account", "region", "wave"}]
    assert ({item["wave"] for item in first}, {item["wave"] for item in second}) == ({1}, {2})
    web = by_id(cloud)["web"]
    assert (web["state"], web["why"], web["wave"]) == ("unfit", "It runs aurora-mysql.", 0)


def test_waves_that_would_be_empty_are_none(cloud: Cloud, step: Step) -> None:
    """Of three clusters, 5 % and 25 % are the one that is done already."""
    discovered(cloud, *map(found, ["orders", "sales", "stock"]))
    assert plan(step)["waves"] == [{"number": 1, "size": 1}, {"number": 4, "size": 2}]


def test_two_starts_make_the_same_plan(cloud: Cloud, step: Step) -> None:
    clusters = [found(f"c-{number}") for number in range(9)]
    discovered(cloud, *clusters)
    discovered(cloud, *reversed(clusters), execution="second")
    assert plan(step, waves=[2, 5, 9]) == plan(step, SECOND, waves=[2, 5, 9])
    assert {each["id"]: each["wave"] for each in by_id(cloud).values()} == {
        each["id"]: each["wave"] for each in by_id(cloud, "second").values()
    }


def test_who_has_not_the_tags_is_left_out_and_the_shares_are_of_the_others(cloud: Cloud, step: Step) -> None:
    discovered(
        cloud,
        found("orders", team="sales", stage="live", more="yes"),
        found("stock", team="sales", stage="test"),
        found("sales", team="sales"),
        found("web", "unfit", "It is stopped.", team="sales"),
    )
    assert plan(step, tags={"team": "sales", "stage": "live"}, waves=["100%"])["waves"] == [{"number": 1, "size": 1}]
    clusters = by_id(cloud)
    assert clusters["orders"]["wave"] == 1
    for name in ("stock", "sales"):
        assert (clusters[name]["state"], clusters[name]["wave"]) == ("left out", 0)
        assert clusters[name]["why"] == "It does not have the tags asked for."
    assert (clusters["web"]["state"], clusters["web"]["why"]) == ("unfit", "It is stopped.")


def test_where_nothing_is_to_do_there_is_no_wave(cloud: Cloud, step: Step) -> None:
    discovered(cloud, found("web", "unfit", "It is stopped."), found("orders", "already enabled", "It is."))
    assert plan(step) == {"waves": [], "first": 0, "began_at": NOW}
    assert read(cloud, "plan.json")["waves"] == []
    assert len(called(cloud, "s3:PutObject")) == 1


def test_who_refused_is_in_the_plan_and_the_others_go_on(cloud: Cloud, step: Step) -> None:
    discovered(cloud, found("orders"))
    far = {"account": FAR, "region": cloud.region, "refused": "AssumeRole: AccessDenied: no", "clusters": []}
    write(cloud, "targets.json", [HERE, {"account": FAR, "region": cloud.region}])
    write(cloud, f"discovered/{FAR}.{cloud.region}.json", far)
    assert plan(step)["waves"] == [{"number": 1, "size": 1}]
    assert read(cloud, "plan.json")["refused"] == [far]


def test_what_was_not_looked_at_is_in_the_plan_as_such(cloud: Cloud, step: Step) -> None:
    """Its child execution has failed, and has left nothing."""
    discovered(cloud, found("orders"))
    write(cloud, "targets.json", [{**HERE, "region": "eu-west-1"}, HERE])
    assert plan(step)["first"] == 1
    (missing,) = read(cloud, "plan.json")["refused"]
    assert (missing["region"], missing["clusters"]) == ("eu-west-1", [])
    assert "see the failed child executions" in missing["refused"]


# --- a second start ---------------------------------------------------------------------------------------------------


def in_order(*names: str) -> list[str]:
    """The clusters in the order of the waves."""
    clusters = planned(["to do"] * len(names))
    for cluster, name in zip(clusters, names, strict=True):
        cluster.update(id=name, arn=arn(name))
    plan_waves.in_waves(clusters, set(), list(range(1, len(names) + 1)))
    return [str(cluster["id"]) for cluster in sorted(clusters, key=lambda each: each["wave"])]


def test_who_was_enabled_by_this_rollout_counts_as_done(cloud: Cloud, step: Step) -> None:
    first, *others = in_order("orders", "sales", "stock", "web")
    record(cloud, first, "enabled")
    discovered(cloud, found(first, "already enabled", "It is."), *map(found, others))
    assert plan(step, waves=[1, "50%", "100%"])["waves"] == [{"number": 2, "size": 1}, {"number": 3, "size": 2}]
    assert by_id(cloud)[first]["wave"] == 0


def test_who_was_enabled_before_does_not_count(cloud: Cloud, step: Step) -> None:
    first, *others = in_order("orders", "sales", "stock", "web")
    record(cloud, first, "enabled", rollout="another")
    discovered(cloud, found(first, "already enabled", "It is."), *map(found, others))
    assert plan(step, waves=[1, 2, 3])["waves"] == [{"number": number, "size": 1} for number in (1, 2, 3)]


@pytest.mark.parametrize("outcome", ["failed", "refused", "enrolling", "enabled"])
def test_what_is_not_enabled_now_is_tried_again(cloud: Cloud, step: Step, outcome: str) -> None:
    record(cloud, "orders", outcome, error="NetworkBlocked" if outcome == "failed" else "")
    discovered(cloud, found("orders"))
    assert plan(step)["waves"] == [{"number": 1, "size": 1}]
    assert recorded(cloud)["orders"]["outcome"] == outcome


@pytest.mark.parametrize("outcome", ["failed", "refused", "enrolling"])
def test_what_its_own_account_has_finished_since_is_recorded(cloud: Cloud, step: Step, outcome: str) -> None:
    """And nothing is left of what had gone wrong."""
    wrong = {"error": "NetworkBlocked", "message": "No route.", "remedy": "Add it."}
    record(cloud, "orders", outcome, **(wrong if outcome != "enrolling" else {}))
    discovered(cloud, found("orders", "already enabled", "It is."))
    plan(step, now=LATER)
    written = recorded(cloud)["orders"]
    assert (written["outcome"], written["recorded_at"], written["began_at"]) == ("enabled", LATER, NOW)
    assert (written["error"], written["message"], written["remedy"]) == ("", "", "")


def test_what_was_recorded_as_enabled_stays_as_it_was_written(cloud: Cloud, step: Step) -> None:
    record(cloud, "orders", "enabled", message="alice may log in")
    before = recorded(cloud)
    discovered(cloud, found("orders", "already enabled", "It is."))
    plan(step, now=LATER)
    assert recorded(cloud) == before


@pytest.mark.parametrize("call", ["s3:GetObject", "s3:PutObject", "dynamodb:Query"])
def test_when_aws_is_busy_the_state_machine_asks_again(cloud: Cloud, step: Step, call: str) -> None:
    discovered(cloud, found("orders"))
    cloud.faults = Faults([Fault(call=call, error="InternalError", status=500)])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        plan(step)
    assert plan(step)["first"] == 1


@pytest.mark.parametrize(
    ("total", "done", "sizes", "waves"),
    [
        ("abcd", "", [1, "50%", "100%"], {"a": 1, "b": 2, "c": 3, "d": 3}),
        ("abcd", "ab", [1, "50%", "100%"], {"c": 3, "d": 3}),  # the first waves are done
        ("abcd", "b", [2], {"a": 1}),  # the rest is not reached
        ("abc", "", ["34%", "100%"], {"a": 1, "b": 1, "c": 2}),  # a share is rounded up
        ("ab", "", [5, "50%", "100%"], {"a": 1, "b": 1}),  # more than there are
        ("", "", [1, "100%"], {}),
        ("abcd", "abcd", ["100%"], {}),
    ],
)
def test_who_is_in_which_wave(total: str, done: str, sizes: list[int | str], waves: dict[str, int]) -> None:
    numbered = inspect.unwrap(load(ROOT / "functions" / "plan_waves")).__globals__["numbered"]
    assert numbered(list(total), set(done), sizes) == waves
