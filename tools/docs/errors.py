"""The error reference, `docs/errors.md`: every error with its meaning and its remedies, made from the code."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping

from aurora_kerberos import errors
from deploy import templates
from tools.docs import steps

INTRODUCTION = """\
# The errors

What an execution can end with, but success. The name of the error is what Step Functions shows, what the tag
`kerberos-status` holds, and what to search for. The message says what was seen, and the remedy what to do: both stand
on the cluster (`kerberos-message`, `kerberos-remedy`), in the registry, in the notification and in the execution's
cause. Where several remedies are listed, the one that fits what was seen is told. `…` stands for a name or a number.

After the remedy, [start the execution again](operating.md#redrive-or-start-again): it goes on where things are.

This page is made from the code by `make docs`.
"""

HEAD = "| error | what it means | what to do | where it comes up |\n|---|---|---|---|"

ANY = "any step"
BY_SILENCE = "the state machine, by a person's silence"

# What stands below the heading of a section of `errors.py`.
NOTES = {
    "bad requests": "What was asked for cannot be. A rollout counts these as *refused*, which stops no other cluster.",
    "configuration": "Something around the cluster has to be changed by a person.",
    "people said no": "A rollout counts `ApprovalRefused` as *refused*, and `ApprovalExpired` as *failed*.",
    "AWS said later": "When it shows, the state machine has tried again already, after growing pauses.",
}

OTHERS = """\
## Errors of AWS and of the state machines

Whatever Step Functions or Lambda come up with is recorded like the others.
"""

# Error of a Fail state → what it means, what to do, where it comes up.
FAIL_STATES = {
    "OutcomeNotRecorded": (
        "What became of the cluster could not be recorded; the cause holds both, the outcome and what was in the way.",
        "Mend what was in the way, then start the execution again: it goes on where things are, and records it.",
        "`cluster.asl.yaml`",
    ),
    "StateFailed": (
        "Step Functions itself has ended a step: a function's time was up, or its answer was too large. The registry, "
        "the cluster's tag and the notification have Step Functions' own name for it.",
        "What the record says.",
        "`cluster.asl.yaml`",
    ),
    "RolloutStopped": (
        "More clusters have failed than `max_failures`: no further wave has begun.",
        "Read the report, mend what it names, then start the rollout again with the same input.",
        "`rollout.asl.yaml`",
    ),
}


def document() -> str:
    """The page."""
    raised = places()
    described = [INTRODUCTION]
    for heading, classes in sections():
        about = [NOTES[heading], ""] if heading in NOTES else []
        rows = [row(each, raised.get(each.__name__, {})) for each in classes]
        described.append("\n".join([f"## {heading[0].upper()}{heading[1:]}", "", *about, HEAD, *rows, ""]))
    described.append("\n".join([OTHERS, HEAD, *others(), ""]))
    return "\n".join(described)


def sections() -> Iterator[tuple[str, list[type[errors.KerberosError]]]]:
    """The sections of `errors.py` with their errors; a base that is only a kind is left out."""
    headed = re.split(r"^# --- (.+?) -+$", inspect.getsource(errors), flags=re.MULTILINE)
    for heading, text in zip(headed[1::2], headed[2::2], strict=True):
        classes = [getattr(errors, name) for name in re.findall(r"^class (\w+)\(", text, flags=re.MULTILINE)]
        yield heading, [each for each in classes if not each.__subclasses__()]


def row(error: type[errors.KerberosError], said: Mapping[str, set[str]]) -> str:
    """One error: a default of its own is a remedy like those that are `said` where it is raised, by function."""
    own = {error.remedy} if "remedy" in vars(error) else set()
    remedies = sorted(own.union(*said.values())) or [error.remedy]
    where = ", ".join(said) or BY_SILENCE
    return f"| `{error.__name__}` | {steps.summary(error.__name__)} | {'<br>'.join(remedies)} | {where} |"


def places() -> dict[str, dict[str, set[str]]]:
    """Error → function → what is said there to do about it; what all steps have in common is said in `any step`."""
    found = {name: {ANY: said} for name, said in steps.everywhere_facts().items()}
    for folder in sorted(path.parent.name for path in templates.ROOT.glob("functions/*/app.py")):
        for name, said in steps.gathered(folder).errors.items():
            common = found.setdefault(name, {}).get(ANY)
            if common is None or said - common:
                found[name][f"`{folder}`"] = said - (common or set())
    return found


def others() -> list[str]:
    """Errors of Step Functions that `record_outcome` knows, and those in which the state machines end by themselves."""
    module = ast.parse((templates.ROOT / "functions" / "record_outcome" / "app.py").read_text())
    known = {name: value for node in module.body for name, value in steps.assigned(node)}
    theirs = ast.literal_eval(known["REMEDIES"])
    return [
        *(f"| `{name}` | Of AWS. | {remedy} | {ANY} |" for name, remedy in theirs.items()),
        *(f"| `{name}` | {meaning} | {remedy} | {where} |" for name, (meaning, remedy, where) in FAIL_STATES.items()),
        f"| any other | Of AWS, or a defect. | {ast.literal_eval(known['DEFECT'])} | {ANY} |",
    ]


def fail_state_errors() -> set[str]:
    """The errors that the state machines name themselves, in their Fail states."""
    machines = [templates.definition(), templates.definition("statemachine/rollout.asl.yaml")]
    fails = [state["Error"] for machine in machines for state in machine["States"].values() if state["Type"] == "Fail"]
    return {name for error in fails for name in re.findall(r"'(\w+)'", error) or [error] if not name.startswith("{%")}
