"""The views of a local run: nothing is lost, nothing is shown twice, nothing from outside is taken for markup."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from local.core.moments import Moment
from local.views import graph, page
from local.views.durations import clock_face, spoken
from local.views.terminal import Terminal

SVG = "{http://www.w3.org/2000/svg}"
CATCH = [{"ErrorEquals": ["States.ALL"], "Next": "RecordFailure"}]


def block(task: str, subject: str, then: str) -> dict[str, Any]:
    """A step as the project's state machines write it."""
    return {
        task: {"Type": "Task", "Comment": f"About {subject}", "Catch": CATCH, "Next": f"{subject}Ready?"},
        f"{subject}Ready?": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $answer.ready %}", "Next": then}],
            "Default": f"WaitFor{subject}",
        },
        f"WaitFor{subject}": {"Type": "Wait", "Seconds": "{% $answer.wait_seconds %}", "Next": task},
    }


CLUSTER: dict[str, Any] = {
    "Comment": "Joins one cluster to Active Directory",
    "StartAt": "ValidateRequest",
    "States": {
        "ValidateRequest": {
            "Type": "Task",
            "Catch": [{"ErrorEquals": ["ClusterBusy"], "Next": "AlreadyRunning"}, *CATCH],
            "Next": "Wanted?",
        },
        "Wanted?": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $plan.action = 'leave' %}", "Next": "LeaveDomain"}],
            "Default": "EnsureDirectory",
        },
        **block("LeaveDomain", "Leave", "RecordOutcome"),
        **block("EnsureDirectory", "Directory", "EnsureMembership"),
        **block("EnsureMembership", "Membership", "VerifyLogin"),
        **block("VerifyLogin", "Login", "RecordOutcome"),
        "RecordFailure": {"Type": "Pass", "Next": "RecordOutcome"},
        "RecordOutcome": {
            "Type": "Task",
            "Next": "Succeeded?",
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Failed"}],
        },
        "Succeeded?": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $outcome.ok %}", "Next": "Done"}],
            "Default": "Failed",
        },
        "Done": {"Type": "Succeed"},
        "AlreadyRunning": {"Type": "Succeed"},
        "Failed": {"Type": "Fail"},
    },
}
ROLLOUT: dict[str, Any] = {
    "StartAt": "Discover",
    "States": {
        "Discover": {"Type": "Task", "Next": "NextWave?"},
        "NextWave?": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $count($waves) > 0 %}", "Next": "RunWave"}],
            "Default": "Report",
        },
        "RunWave": {
            "Type": "Map",
            "ItemProcessor": {
                "StartAt": "TagCluster",
                "States": {
                    "TagCluster": {"Type": "Task", "Next": "Tagged?"},
                    "Tagged?": {
                        "Type": "Choice",
                        "Choices": [{"Condition": "{% $answer.ready %}", "Next": "Joined"}],
                        "Default": "WaitForTag",
                    },
                    "WaitForTag": {"Type": "Wait", "Seconds": 30, "Next": "TagCluster"},
                    "Joined": {"Type": "Succeed"},
                },
            },
            "Next": "NextWave?",
        },
        "Report": {"Type": "Task", "End": True},
        "NeverReached": {"Type": "Pass", "Next": "Report"},
    },
}
definitions = pytest.mark.parametrize("definition", [CLUSTER, ROLLOUT], ids=["cluster", "rollout"])
REASON = "Directory d-1 is <script>alert(1)</script> [bold]Creating[/bold] & [/]"


def run(*, execution: str = "orders-prod", fails: bool = False) -> list[Moment]:
    """A run that waits for the directory for two reasons, is throttled once and then joins or fails."""

    def moment(at: float, kind: Any, state: str = "", text: str = "", **more: Any) -> Moment:
        return Moment(at, kind, text, execution, state, **more)

    moments = [
        Moment(0, "happened", "Somebody tagged orders-prod"),
        moment(1, "started", text='{"cluster": "orders-prod"}'),
        moment(1, "entered", "ValidateRequest"),
        moment(1, "answered", "ValidateRequest", ready=True),
        moment(1, "entered", "Wanted?"),
    ]
    at = 1.0
    for reason in (REASON, REASON, "Directory d-1 is Verifying", REASON):
        moments += [
            moment(at, "entered", "EnsureDirectory"),
            moment(at, "answered", "EnsureDirectory", reason),
            moment(at, "entered", "DirectoryReady?"),
            moment(at, "entered", "WaitForDirectory"),
            moment(at, "waiting", "WaitForDirectory", seconds=400),
        ]
        at += 400
    moments += [
        moment(at, "entered", "EnsureDirectory"),
        moment(at, "retrying", "EnsureDirectory", "ThrottlingException", seconds=4),
        moment(at + 4, "answered", "EnsureDirectory", ready=True),
        moment(at + 4, "entered", "DirectoryReady?"),
        moment(at + 4, "entered", "EnsureMembership"),
    ]
    if fails:
        moments.append(moment(at + 5, "failed", "EnsureMembership", "RoleMissing: no role [red]rds-ad[/red]"))
    else:
        moments.append(moment(at + 5, "answered", "EnsureMembership", ready=True))
    return [*moments, moment(at + 6, "ended", text="FAILED" if fails else "SUCCEEDED")]


RESULT: dict[str, Any] = {
    "scenario": "happy",
    "passed": False,
    "checks": [
        {"check": "alice logs in", "passed": True, "got": "encrypted"},
        {"check": "bob [b]is[/b] <refused>", "passed": False, "got": "no error"},
    ],
    "executions": [
        {
            "name": "orders-prod",
            "status": "SUCCEEDED",
            "polls": 7,
            "waited": 1600.0,
            "transitions": 31,
            "output": {"a": 1},
        }
    ],
    "logins": [
        {
            "cluster": "orders-prod",
            "principal": "alice@CORP.EXAMPLE.COM",
            "ok": True,
            "gss_authenticated": True,
            "encrypted": True,
            "error": "",
        }
    ],
    "virtual_seconds": 1607.0,
    "real_seconds": 2.5,
}


# Durations


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.44, "0.4 s"), (59.9, "59 s"), (600, "10 min"), (1600, "26 min 40 s"), (702_000, "8 d 3 h")],
)
def test_a_duration_is_spoken_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert spoken(seconds) == words


@given(st.integers(min_value=10, max_value=10**8))
def test_a_spoken_duration_is_never_too_long_and_off_by_less_than_an_hour(seconds: int) -> None:
    size = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
    words = spoken(seconds).split()
    heard = sum(int(count) * size[unit] for count, unit in zip(words[::2], words[1::2], strict=True))
    assert 0 <= seconds - heard < (3_600 if seconds >= 86_400 else 60 if seconds >= 3_600 else 1)


@given(st.integers(min_value=0, max_value=10**8))
def test_a_clock_face_can_be_read_back(seconds: int) -> None:
    hours, minutes, rest = clock_face(seconds).split(":")
    assert (len(minutes), len(rest)) == (2, 2)
    assert int(hours) * 3_600 + int(minutes) * 60 + int(rest) == seconds


# The state machine's picture


def machines(definition: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The definition and what is in its Map states."""
    inner = [state["ItemProcessor"] for state in definition["States"].values() if "ItemProcessor" in state]
    return [definition, *inner]


def transitions(definition: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Every transition of a definition, read without the code under test."""
    found = set()
    for machine in machines(definition):
        for name, state in machine["States"].items():
            ways = [rule["Next"] for rule in state.get("Choices", [])]
            ways += [state[key] for key in ("Next", "Default") if key in state]
            found |= {(name, target, "next") for target in ways}
            found |= {(name, catcher["Next"], "catch") for catcher in state.get("Catch", [])}
    return found


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)  # noqa: S314 (it is our own picture)


def boxes(picture: ElementTree.Element) -> dict[str, tuple[float, float, float, float]]:
    """Left, top, right and bottom of every state."""
    found = {}
    for group in picture.iterfind(f".//{SVG}g[@data-state]"):
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        x, y, width, height = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        found[group.attrib["data-state"]] = (x, y, x + width, y + height)
    return found


def ends(path: ElementTree.Element) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where a line begins and where it ends."""
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.attrib["d"])]
    return (numbers[0], numbers[1]), (numbers[-2], numbers[-1])


def touches(point: tuple[float, float], box: tuple[float, float, float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


@definitions
def test_every_state_is_drawn_once(definition: dict[str, Any]) -> None:
    picture = parsed(graph.svg(definition))
    expected = sorted(name for machine in machines(definition) for name in machine["States"])
    assert sorted(group.attrib["data-state"] for group in picture.iterfind(f".//{SVG}g[@data-state]")) == expected
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert all(words.count(name) == 1 for name in expected)


@definitions
def test_every_transition_is_drawn_once_from_its_state_to_its_target(definition: dict[str, Any]) -> None:
    picture = parsed(graph.svg(definition))
    places = boxes(picture)
    drawn = []
    for path in picture.iterfind(f".//{SVG}path[@data-from]"):
        source, target = path.attrib["data-from"], path.attrib["data-to"]
        drawn.append((source, target, path.attrib["data-kind"]))
        begin, end = ends(path)
        assert touches(begin, places[source]), (source, target)
        assert touches(end, places[target]), (source, target)
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == transitions(definition)


@definitions
def test_states_do_not_cover_each_other_and_stay_in_the_picture(definition: dict[str, Any]) -> None:
    picture = parsed(graph.svg(definition))
    _, _, width, height = (float(number) for number in picture.attrib["viewBox"].split())
    for left, top, right, bottom in boxes(picture).values():
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
    for one, other in combinations(boxes(picture).values(), 2):
        assert one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


def test_errors_run_down_one_rail_for_each_state_they_lead_to() -> None:
    picture = parsed(graph.svg(CLUSTER))
    leftmost = min(box[0] for box in boxes(picture).values())
    rails: dict[str, set[float]] = {}
    for path in picture.iterfind(f".//{SVG}path[@data-kind='catch']"):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.attrib["d"])]
        rails.setdefault(path.attrib["data-to"], set()).add(min(numbers[::2]))
    assert set(rails) == {"RecordFailure", "AlreadyRunning", "Failed"}
    assert all(len(rail) == 1 and max(rail) < leftmost for rail in rails.values())
    assert len({min(rail) for rail in rails.values()}) == 3


def test_a_step_is_one_row_with_its_choice_below_and_its_wait_beside() -> None:
    places = boxes(parsed(graph.svg(CLUSTER)))
    task, choice, wait = (places[name] for name in ("EnsureDirectory", "DirectoryReady?", "WaitForDirectory"))
    assert task[3] < choice[1]
    assert wait[0] > choice[2]
    assert wait[1] == choice[1]


def test_the_order_of_the_rows_is_the_order_of_the_steps_however_the_definition_is_sorted() -> None:
    states = CLUSTER["States"]
    shuffled = {**CLUSTER, "States": {name: states[name] for name in sorted(states)}}
    assert [row.name for row in graph.rows(shuffled)] == [row.name for row in graph.rows(CLUSTER)]


def test_comments_are_captions_and_the_picture_is_opaque_and_always_the_same() -> None:
    picture = graph.svg(CLUSTER)
    assert ">About Directory</text>" in picture
    assert 'fill="#ffffff"' in picture
    assert picture == graph.svg(CLUSTER)


def test_names_and_comments_are_escaped_in_the_picture() -> None:
    name, comment = 'Is "a" < b & c?', "<script>alert('x')</script>"
    definition = {
        "Comment": comment,
        "StartAt": name,
        "States": {name: {"Type": "Pass", "Comment": comment, "End": True}},
    }
    picture = graph.svg(definition)
    assert "<script" not in picture
    assert list(boxes(parsed(picture))) == [name]


def test_the_main_path_is_the_longest_way_without_a_failure() -> None:
    expected = ["ValidateRequest", "EnsureDirectory", "EnsureMembership", "VerifyLogin", "RecordOutcome"]
    assert graph.main_path(CLUSTER) == expected
    assert graph.main_path(ROLLOUT) == ["Discover", "RunWave"]


def test_the_states_of_a_step_share_its_lane() -> None:
    lanes = graph.lanes(CLUSTER)
    assert {lanes[name] for name in ("EnsureDirectory", "DirectoryReady?", "WaitForDirectory")} == {"EnsureDirectory"}
    assert graph.lanes(ROLLOUT)["WaitForTag"] == "TagCluster"


# The page


def pictures(document: str) -> list[ElementTree.Element]:
    return [parsed(found) for found in re.findall(r"<svg.*?</svg>", document, flags=re.DOTALL)]


def test_the_page_refers_to_nothing_outside_itself() -> None:
    document = page.html("Happy", run(), CLUSTER, RESULT)
    assert set(re.findall(r"https?://[^\"'\s<]+", document)) <= {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"<(?:link|img|script|iframe)|\b(?:src|href)=|@import", document)


def test_nothing_from_outside_is_markup_in_the_page() -> None:
    document = page.html("<i>Happy</i>", run(execution="<orders>"), CLUSTER, RESULT)
    for raw in ("<script", "<i>", "<orders>", "<refused>"):
        assert raw not in document
    assert "&lt;script&gt;alert(1)&lt;/script&gt; [bold]Creating" in document
    assert pictures(document)


def test_the_page_tells_outcome_checks_and_logins_in_words() -> None:
    document = page.html("Happy", run(), CLUSTER, RESULT)
    assert "✗ failed" in document
    assert re.search(r"✓ passed</b></td><td>alice logs in</td><td>encrypted", document)
    assert re.search(r"alice@CORP\.EXAMPLE\.COM</td><td>yes</td><td>yes", document)
    assert "26 min 47 s" in document


def test_the_timeline_has_a_labelled_lane_for_each_step_and_a_tooltip_for_each_wait() -> None:
    timeline = pictures(page.html("Happy", run(), CLUSTER, RESULT))[0]
    labels = [group.attrib["aria-label"] for group in timeline.iterfind("./g[@aria-label]")]
    assert labels == ["ValidateRequest", "EnsureDirectory", "EnsureMembership"]
    waits = [rect.findtext("title") for rect in timeline.iterfind(".//rect[@class='waiting']")]
    assert len(waits) == 4
    assert waits[0] == f"0:00:01 WaitForDirectory waits 6 min 40 s: {REASON}"
    assert len(timeline.findall(".//path[@class='again']")) == 1
    assert len(timeline.findall(".//g[@class='mark']")) == 1


def test_the_timeline_says_what_failed_and_what_was_not_reached() -> None:
    document = page.html("Sad", run(fails=True), CLUSTER, RESULT)
    timeline = pictures(document)[0]
    failures = [path.findtext("title") for path in timeline.iterfind(".//path[@class='failed']")]
    assert failures == ["0:26:46 EnsureMembership failed: RoleMissing: no role [red]rds-ad[/red]"]
    assert "not reached: VerifyLogin, RecordOutcome" in document


def test_several_executions_have_their_own_lanes() -> None:
    document = page.html("Race", [*run(), *run(execution="second", fails=True)], CLUSTER, RESULT)
    headings = [text.text for text in pictures(document)[0].iterfind("./text[@class='run']")]
    assert [str(heading).split(":")[0] for heading in headings] == ["orders-prod", "second"]


def test_a_page_can_be_made_of_nothing() -> None:
    assert "<h1>Empty</h1>" in page.html("Empty", [], CLUSTER, {})


# The terminal


def printed(moments: list[Moment], result: Mapping[str, Any] | None = None, *, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120, _environ={})
    with Terminal(CLUSTER, console) as view:
        for moment in moments:
            view(moment)
    if result is not None:
        view.summary(result)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_step_is_told_once_for_each_reason_and_with_the_sum_when_it_is_ready() -> None:
    lines = [line for line in printed(run()).splitlines() if "EnsureDirectory" in line]
    assert [re.sub(r"\s+", " ", line.strip()) for line in lines] == [
        f"0:00:01 EnsureDirectory waiting 6 min 40 s — {REASON}",
        "0:13:21 EnsureDirectory waiting 6 min 40 s — Directory d-1 is Verifying",
        "0:26:41 EnsureDirectory retrying in 4 s — ThrottlingException",
        "0:26:45 EnsureDirectory ready after 26 min 44 s, 5 polls",
    ]


def test_every_failure_and_retry_is_told() -> None:
    again = Moment(1, "retrying", "ThrottlingException", "orders-prod", "EnsureDirectory", seconds=4)
    failed = Moment(9, "failed", "RoleMissing: [red]x[/red]", "orders-prod", "EnsureDirectory")
    text = printed([again, again, failed, failed])
    assert text.count("retrying in 4 s — ThrottlingException") == 2
    assert text.count("failed — RoleMissing: [red]x[/red]") == 2


def test_without_a_terminal_there_are_only_plain_lines() -> None:
    text = printed([*run(), Moment(2000, "happened", "evil \x1b[2J\r\ntext")])
    assert not [character for character in text if not character.isprintable() and character != "\n"]
    assert all(re.match(r" *\d+:\d\d:\d\d  ", line) for line in text.splitlines())


def test_in_a_terminal_the_bar_counts_the_steps_that_are_done() -> None:
    assert "2/5" in printed(run()[:-2], terminal=True)  # validated, and the directory is there
    assert "2/5" in printed(run(fails=True)[:-1], terminal=True)  # a failed step is not done


def test_executions_are_told_apart_once_there_are_several() -> None:
    text = printed([*run(), *run(execution="second[0]", fails=True)])
    assert re.search(r"second\[0\] +EnsureMembership +failed", text)


def test_the_summary_tells_outcome_checks_and_logins() -> None:
    text = printed([], RESULT)
    assert "FAILED happy: 26 min 47 s in 2.5 s of real time" in text
    assert re.search(r"pass +alice logs in", text)
    assert re.search(r"FAIL +bob \[b\]is\[/b\] <refused> — got no error", text)
    assert re.search(r"alice@CORP.EXAMPLE.COM +│ t +│ t +│ ok", text)
    assert "pg_stat_gssapi" in text


def test_a_summary_can_be_made_of_nothing() -> None:
    assert "FAILED" in printed([], {})
