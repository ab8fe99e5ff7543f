"""A rollout's report as a page: nothing is lost, nothing of it is taken for markup, and it stays small."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from aurora_kerberos.rollout import work
from aurora_kerberos.rollout.figures import waves
from aurora_kerberos.rollout.page import html
from aurora_kerberos.rollout.work import (
    ALREADY,
    ENABLED,
    ENROLLING,
    FAILED,
    REFUSED,
    TODO,
    UNFIT,
    Discovered,
    Outcome,
    Plan,
    Planned,
    Report,
)

BEGIN = datetime(2025, 3, 4, 9, tzinfo=UTC)
EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:rollout:march"
NASTY = "<script>alert(\"1\")</script> & 'x'"


def at(minutes: float) -> str:
    return (BEGIN + timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def planned(number: int, wave: int = 0, state: str = TODO, why: str = "", account: int = 0) -> Planned:
    region = ("eu-central-1", "us-east-1")[number % 2]
    owner = f"{111_111_111_111 + account}"
    arn = f"arn:aws:rds:{region}:{owner}:cluster:orders-{number}"
    return Planned(
        arn=arn, id=f"orders-{number}", account=owner, region=region, tags={}, state=state, why=why, wave=wave
    )


def became(cluster: Planned, outcome: str, minutes: float, **more: str) -> Outcome:
    kept = {key: str(cluster[key]) for key in ("account", "region", "wave")}
    item = {"rollout": "r", "cluster": cluster["arn"], **kept, "outcome": outcome, "error": "", "message": ""}
    return {**item, "remedy": "", "began_at": at(minutes - 5), "recorded_at": at(minutes), **more}  # type: ignore[typeddict-item]  # the keys of one


def plan_of(clusters: list[Planned], refused: list[Discovered] | None = None, *, dry_run: bool = False) -> Plan:
    sizes = {number: sum(each["wave"] == number for each in clusters) for number in range(1, 5)}
    return Plan(
        rollout="r",
        execution=EXECUTION,
        began_at=at(0),
        request={"dry_run": dry_run},
        waves=[{"number": number, "size": size} for number, size in sizes.items() if size],
        clusters=clusters,
        refused=refused or [],
    )


def report_of(plan: Plan | None, outcomes: list[Outcome], stopped: str = "") -> Report:
    known: Mapping[str, Outcome] = {each["cluster"]: each for each in outcomes}
    return work.reported(EXECUTION, plan, known, at(120), stopped)


def some() -> Report:
    """Two waves in two accounts: enabled, failed, refused, at work, to do; one unfit, one already enabled."""
    clusters = [planned(0, 1), *(planned(number, 2, account=number % 2) for number in range(1, 6))]
    other = [planned(6, state=UNFIT, why="It runs aurora-mysql."), planned(7, state=ALREADY, why="In d-1.")]
    outcomes = [
        became(clusters[0], ENABLED, 30),
        became(clusters[1], FAILED, 60, error="MembershipFailed", message="It is failed.", remedy="See the DNS."),
        became(clusters[2], FAILED, 61, error="MembershipFailed", message="It is failed.", remedy="See the DNS."),
        became(clusters[3], REFUSED, 62, error="ClusterUnusable", message="It is stopped.", remedy="Start it."),
        became(clusters[4], ENROLLING, 63),
    ]
    unseen = Discovered(account="999999999999", region="us-east-1", refused="AccessDenied: no role", clusters=[])
    return report_of(plan_of([*clusters, *other], [unseen]), outcomes, "After wave 2, 2 clusters have failed.")


class Page(HTMLParser):
    """Text, tables and what is open; fails where an end does not belong to a beginning."""

    ALONE = frozenset({"meta", "path", "!doctype"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()
        assert not self.open
        self.text = "".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "path"
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def test_the_numbers() -> None:
    page = Page(html(some()))
    assert "8 clusters: 1 already enabled, 1 enabled, 1 enrolling, 2 failed, 1 refused, 1 to do, 1 unfit" in page.text
    assert "1 account or Region could not be looked at." in page.text
    assert "After wave 2, 2 clusters have failed." in page.text
    assert ["1", "1", "1", "0", "0", "0", "2025-03-04 09:25:00", "5 min"] in page.rows
    assert ["2", "5", "0", "1", "2", "2", "2025-03-04 09:55:00", "8 min"] in page.rows
    head = ["Clusters", "To do", "Enrolling", "Enabled", "Refused", "Failed", "Already enabled", "Unfit"]
    assert ["Account", *head] in page.rows
    assert ["Region", *head] in page.rows
    assert ["111111111111", "5", "0", "1", "1", "0", "1", "1", "1"] in page.rows
    assert ["111111111112", "3", "1", "0", "0", "1", "1", "0", "0"] in page.rows
    assert ["us-east-1", "4", "1", "0", "0", "1", "1", "1", "0"] in page.rows
    assert ["999999999999, us-east-1", "AccessDenied: no role"] in page.rows
    assert ["unfit", "It runs aurora-mysql.", "1"] in page.rows


def test_each_failure_is_told_once_with_its_remedy_and_all_its_clusters() -> None:
    page = Page(html(some()))
    assert "MembershipFailed: 2 clusters failed" in page.text
    assert "What to do: See the DNS." in page.text
    both = "orders-2 (111111111111, eu-central-1), orders-1 (111111111112, us-east-1)"
    assert ["It is failed.", both] in page.rows
    assert "ClusterUnusable: 1 cluster refused" in page.text
    assert "What to do: Start it." in page.text
    assert page.text.index("MembershipFailed") < page.text.index("ClusterUnusable")


def test_the_picture_says_what_it_shows_and_marks_the_waves() -> None:
    page = Page(html(some()))
    assert ("aria-label", "Clusters over time: 1 enabled, 1 refused, 2 failed after 2 h") in page.attributes
    assert "wave 1" in page.text
    assert "wave 2" in page.text
    assert "2 failed" in page.text


def test_it_loads_nothing_and_runs_nothing() -> None:
    page = Page(html(some()))
    assert not {"script", "link", "img", "iframe"} & page.seen
    assert not {"src", "href", "onclick"} & {name for name, _ in page.attributes}
    assert {"th", "thead", "svg", "details"} <= page.seen


def test_nothing_from_outside_is_markup() -> None:
    cluster, other = planned(0, 1), planned(1, state=UNFIT, why=NASTY)
    cluster["id"] = cluster["account"] = cluster["region"] = NASTY
    told = became(cluster, FAILED, 10, error=NASTY, message=NASTY, remedy=NASTY)
    unseen = Discovered(account=NASTY, region=NASTY, refused=NASTY, clusters=[])
    content = html(
        {**report_of(plan_of([cluster, other], [unseen]), [told], NASTY), "execution": f"1:2:3:4:5:6:7:{NASTY}"}
    )
    page = Page(content)
    assert "<script" not in content
    assert page.text.count(NASTY) >= 12


def test_no_plan_has_been_made() -> None:
    page = Page(html(report_of(None, [], "InvalidRequest: None of the accounts is active.")))
    assert "No cluster has been looked at." in page.text
    assert "InvalidRequest: None of the accounts is active." in page.text
    assert not page.rows


def test_no_cluster_was_found() -> None:
    assert "0 clusters: none." in Page(html(report_of(plan_of([]), []))).text


def test_a_dry_run_says_what_would_be_done() -> None:
    clusters = [planned(0, 1), planned(1, 2), planned(2, 2), planned(3, state=UNFIT, why="It is not in a VPC.")]
    page = Page(html(report_of(plan_of(clusters, dry_run=True), [])))
    assert "Dry run, nothing is changed: of 4 clusters, 3 would be enrolled in 2 waves: 3 to do, 1 unfit." in page.text
    assert ["2", "2", "0", "0", "0", "2", "not begun", ""] in page.rows
    assert "svg" not in page.seen


@pytest.mark.parametrize("outcome", [ENABLED, REFUSED, FAILED])
@pytest.mark.parametrize("minutes", [-60, 0, 10, 500])
def test_one_outcome_at_any_time(outcome: str, minutes: float) -> None:
    """An earlier start's (of a cluster that is in no wave now), at once, later, and after the report was made."""
    page = Page(html(report_of(plan_of([planned(0)]), [became(planned(0), outcome, minutes)])))
    assert f"1 {outcome}" in page.text
    lines = [value for name, value in page.attributes if name == "d" and value and " H " in value]
    assert len(lines) == 1


def test_before_the_first_outcome_there_is_a_sentence() -> None:
    page = Page(html(report_of(plan_of([planned(0, 1)]), [became(planned(0, 1), ENROLLING, 5)])))
    assert "No cluster is enabled, refused or failed yet." in page.text


def test_what_an_earlier_start_has_recorded_does_not_count_for_what_is_tried_again() -> None:
    clusters = [planned(0), planned(1, 1)]
    outcomes = [became(clusters[0], ENABLED, -60), became(clusters[1], FAILED, -50, error="MembershipFailed")]
    report = report_of(plan_of(clusters), outcomes)
    assert report["counts"] == {ENABLED: 1, TODO: 1}
    assert waves(report)[0].began is None


def test_ten_thousand_clusters_even_if_each_fails_in_its_own_words() -> None:
    clusters = [planned(number, 1 + number % 4, account=number % 500) for number in range(10_000)]
    outcomes = [
        became(each, FAILED, number / 10, error="MembershipFailed", message=f"{number} {'x' * 250}", remedy="Look.")
        for number, each in enumerate(clusters)
    ]
    report = report_of(plan_of(clusters), outcomes)
    begin = time.process_time()
    content = html(report)
    assert time.process_time() - begin < 2  # seconds
    assert len(content.encode()) < 6_000_000
    assert Page(content).text.count("orders-9999") == 2
    assert content.count(" H ") < 2_000  # a stair has no more steps than pixels
