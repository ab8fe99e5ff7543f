"""A new step in all its places: `make step NAME=ensure_example`, and `BEFORE=EnsureNetwork` for where it comes.

It writes a function that works and looks at the cluster alone, its test, a scenario, its entry in the order of the
steps, its rows in the template and in the README, then the pages that are made from the code. All tests pass then; what
is left to write is marked, and listed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools import statemachine

ROOT = Path(__file__).parent.parent
SOURCE = Path("statemachine/cluster.steps.yaml")
TEMPLATE = Path("template.yaml")
README = Path("README.md")
MARK = "Say here"  # in whatever is left to write

FUNCTION = '''\
"""Say here what the step is for, and which section of AWS's documentation it follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from aurora_kerberos import clusters
from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`cluster`: Say here where it comes from."""

    cluster: Mapping[str, Any]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when the cluster is available. Say here what it looks at and what it does."""
<<early>>    cluster = clusters.describe(arguments["cluster"]["id"])
    clusters.refuse_stuck(cluster, [])
    if reason := clusters.busy(cluster, []):
        return Waiting(reason)
    return Ready({"status": cluster["Status"]})
'''

EARLY = """\
    if not arguments["cluster"]["endpoint"]:  # it is yet to be made
        return Ready({"status": ""})
"""

TEST = '''\
"""Say here what the step is for, in half a line."""

from __future__ import annotations

import pytest

from local.cloud import Cloud
from tests.steps.conftest import Step, StepFailed

ORDERS = {"id": "orders", "endpoint": "orders.example", "port": 5432}


def test_a_cluster_that_is_available_is_ready(cloud: Cloud, step: Step) -> None:
    answer = step("<<Step>>", cluster=ORDERS)
    assert (answer["ready"], answer["outputs"]) == (True, {"status": "available"})
    assert not [call for call in cloud.calls if call.function and call.changes]


def test_a_cluster_that_is_not_available_is_waited_for(cloud: Cloud, step: Step) -> None:
    cloud.client("rds").create_db_cluster(
        DBClusterIdentifier="new", Engine="aurora-postgresql", MasterUsername="postgres", ManageMasterUserPassword=True
    )
    answer = step("<<Step>>", cluster={**ORDERS, "id": "new"})
    assert (answer["ready"], answer["reason"]) == (False, "Cluster new is creating")


def test_a_cluster_that_is_stopped_is_refused(cloud: Cloud, step: Step) -> None:
    cloud.client("rds").stop_db_cluster(DBClusterIdentifier="orders")
    with pytest.raises(StepFailed, match="ClusterUnusable: Cluster orders is stopped"):
        step("<<Step>>", cluster=ORDERS)
'''

EARLY_TEST = """

def test_a_cluster_that_is_yet_to_be_made_is_not_looked_at(cloud: Cloud, step: Step) -> None:
    assert step("<<Step>>", cluster={"id": "new", "endpoint": ""})["ready"]
    assert not [call for call in cloud.calls if call.function]
"""

SCENARIO = """\
scenario: <<Step>> may not look at the cluster
about: Say here what it shows.
cloud:
  clusters:
    - id: orders
      membership: {directory: corp.example.com}
  directories:
    - dns_name: corp.example.com
      users: [alice, kerberos-check]
  keytabs: {aurora-kerberos/kerberos-check: kerberos-check@CORP.EXAMPLE.COM}
  faults: [{call: 'rds:DescribeDBClusters', function: <<Step>>, error: AccessDenied, status: 403}]
happens:
  - start: {cluster: orders, action: <<action>>}
expect:
  executions:
    - status: FAILED
      error: AccessDenied
      message: 'DescribeDBClusters: AccessDenied'
      steps: to <<Step>>
  registry:
    orders: {outcome: failed, error: AccessDenied}
"""

ENTRY = """\
  <<Step>>:
    comment: Say here in a few words what the step is for
    choice: <<Subject>>Ready?
    wait: WaitFor<<Subject>>
    arguments:
      cluster: "{% $<<cluster>>.cluster %}"
    keeps: <<subject>>

"""

RESOURCE = """\
  <<Step>>:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/<<name>>
      Policies:
        - Version: "2012-10-17"
          Statement:
            - Effect: Allow
              Action: rds:DescribeDBClusters
              Resource: !Sub arn:${AWS::Partition}:rds:${AWS::Region}:${AWS::AccountId}:cluster:*

"""


class Impossible(Exception):
    """The step cannot be written as it was asked for."""


@dataclass(frozen=True)
class Place:
    """A new step, and where it comes.

    Attributes:
        name: of the function's folder, such as `ensure_example`.
        before: the step that comes after it.
        steps: those that are there, in order.
        variables: what they keep, and what else later states read.
    """

    name: str
    before: str
    steps: list[str]
    variables: set[str]

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            Impossible: the name is none, or is taken; nothing can come before the step.
        """
        if not re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", self.name):
            raise Impossible(f"NAME is a verb and its object, such as ensure_example, and not '{self.name}'.")
        if (ROOT / "functions" / self.name).exists():
            raise Impossible(f"functions/{self.name} is there already.")
        possible = self.steps[2:]  # the plan is made by the second
        if self.before not in possible:
            raise Impossible(f"BEFORE is one of {', '.join(possible)}, and not '{self.before}'.")

    @property
    def step(self) -> str:
        """The name of its state and of its function in the template."""
        return titled(self.name)

    @property
    def subject(self) -> str:
        """The variable that it keeps: its object, or its whole name where that is taken."""
        short = self.name.partition("_")[2]
        return self.name if short in self.variables else short

    def comes_before(self, step: str) -> bool:
        """Whether it comes before a step that is there."""
        return self.steps.index(self.before) <= self.steps.index(step)

    @property
    def values(self) -> Mapping[str, str]:
        """What is filled into the texts."""
        made = not self.comes_before("EnsureMembership") and self.comes_before("VerifyLogin")
        return {
            "name": self.name,
            "Step": self.step,
            "subject": self.subject,
            "Subject": titled(self.subject),
            "cluster": "membership" if made else "plan",
            "early": EARLY if self.is_early else "",
            "action": "enable" if self.comes_before("VerifyLogin") else "disable",
        }

    @property
    def is_early(self) -> bool:
        """Whether the cluster may be yet to be made."""
        return self.comes_before("EnsureMembership")


def main() -> int:
    """Write the step; exit status 2 when it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m tools.new_step", description=__doc__)
    parser.add_argument("name", help="of the function, such as ensure_example")
    parser.add_argument("--before", default="PublishClientConfig", metavar="STEP", help="the step that comes after it")
    arguments = parser.parse_args()
    source = statemachine.source()
    kept = {step.keeps for step in source.steps.values()}
    place = Place(arguments.name, arguments.before, list(source.steps), kept | set(source.begin["Assign"]))
    try:
        place.check()
        texts = written(place)
    except Impossible as error:
        print(error, file=sys.stderr)
        return 2
    for path, text in texts.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)
    run("-m", "tools", "docs")
    tell(texts)
    return 0


def written(place: Place) -> dict[Path, str]:
    """Every file that is written by hand, with its new text.

    Raises:
        Impossible: a file has not the line beside which the step's line is to stand.
    """
    test = TEST + (EARLY_TEST if place.is_early else "")
    new = {
        Path("functions") / place.name / "app.py": FUNCTION,
        Path("tests") / "steps" / f"test_{place.name}.py": test,
        Path("scenarios") / f"failed-{place.name.replace('_', '-')}.yaml": SCENARIO,
    }
    texts = {path: filled(text, place.values) for path, text in new.items()}
    texts[SOURCE] = with_entry((ROOT / SOURCE).read_text(), place)
    texts[TEMPLATE] = with_rows((ROOT / TEMPLATE).read_text(), place)
    row = f"| `{place.name}` | | {MARK} when it is ready |\n"
    texts[README] = above((ROOT / README).read_text(), f"| `{folder_of(place.before)}` |", row)
    for path in sorted((ROOT / "scenarios").glob("*.yaml")):
        text = path.read_text()
        if (changed := with_step(text, place)) != text:
            texts[path.relative_to(ROOT)] = changed
    return texts


def with_entry(text: str, place: Place) -> str:
    """The order of the steps with the new one: whatever has led to the next leads to it."""
    entry = filled(ENTRY, place.values)
    head, steps, others = re.split(r"^(?=steps:|  ConfirmApproval:)", text, flags=re.MULTILINE)
    # Whoever has asked for approval is asked again itself: what comes after the answer stays.
    led = re.sub(rf"\b([Nn]ext: ){place.before}$", rf"\g<1>{place.step}", steps, flags=re.MULTILINE)
    return head + above(led, f"  {place.before}:\n", entry) + others


def with_rows(text: str, place: Place) -> str:
    """The template with the function, its ARN for the definition, and the permission to invoke it."""
    before, step = place.before, place.step
    text = above(text, f"  {before}:\n    Type: AWS::Serverless::Function\n", filled(RESOURCE, place.values))
    text = above(text, f"        {before}: !GetAtt {before}.Arn\n", f"        {step}: !GetAtt {step}.Arn\n")
    invoke = "        - LambdaInvokePolicy: {FunctionName: !Ref %s}\n"
    return above(text, invoke % before, invoke % step)


def with_step(text: str, place: Place) -> str:
    """A scenario with the new step, where it lists all steps of an execution."""

    def longer(listed: re.Match[str]) -> str:
        in_lines = re.sub(
            rf"^( +- ){place.before}$", rf"\g<1>{place.step}\n\g<0>", listed[0], count=1, flags=re.MULTILINE
        )
        return re.sub(rf"(?<=[\[ ]){place.before}(?=,)", f"{place.step}, {place.before}", in_lines, count=1)

    return re.sub(r"\bsteps:(?: \[.*\]|(?:\n +- \w+)+)$", longer, text, flags=re.MULTILINE)


def above(text: str, line: str, new: str) -> str:
    """The text with something new above a line, which it has once.

    Raises:
        Impossible: it has not.
    """
    parts = re.split(rf"^(?={re.escape(line)})", text, flags=re.MULTILINE)
    if len(parts) != 2:
        raise Impossible(f"'{line.strip()}' is expected once, and found {len(parts) - 1} times.")
    return parts[0] + new + parts[1]


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its `<<names>>` filled in."""
    return re.sub(r"<<(\w+)>>", lambda found: values[found[1]], text)


def titled(name: str) -> str:
    """The state of a function: `EnsureExample` of `ensure_example`."""
    return "".join(word.capitalize() for word in name.split("_"))


def folder_of(step: str) -> str:
    """The folder of a state's function."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", step).lower()


def tell(texts: Mapping[Path, str]) -> None:
    """Say what has been written, and what is left to write."""
    print("Written, beside the pages that are made from the code:")
    for path in texts:
        print(f"  {path}")
    print(f"It works, and looks at the cluster alone. Left to write, where it says '{MARK}':")
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            if MARK in line:
                print(f"  {path}:{number}: {line.strip()}")
    print("Then its calls in its policy (template.yaml), and the sequel: make docs, make lint, make test.")


def run(*arguments: str) -> None:
    """Run a Python module in the project."""
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
