"""One at a time: twenty executions at the same moment, for one cluster and for one directory."""

from __future__ import annotations

import json

from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.expectations import registry_item
from local.scenario.format import AtStart, Cluster
from local.scenario.prepare import prepare

TWENTY = 20


def test_of_twenty_executions_for_one_cluster_one_is_at_work_and_nineteen_say_so() -> None:
    with Cloud() as cloud:
        prepare(cloud, AtStart(clusters=[Cluster(id="orders")]))
        executions = [cloud.executions[cloud.start({"cluster": "orders"})] for _ in range(TWENTY)]
        cloud.run()
        assert {execution.status for execution in executions} == {"SUCCEEDED"}
        at_work = [execution for execution in executions if "ValidateRequest" in execution.steps]
        (holder,) = at_work
        others = [execution for execution in executions if execution is not holder]
        assert all(f":{holder.name} is at work on orders" in json.dumps(each.output) for each in others)
        directories = cloud.client("ds").describe_directories()["DirectoryDescriptions"]
        assert [each["Name"] for each in directories] == ["corp.example.com"]
        assert registry_item(cloud, "orders")["execution"] == holder.arn
        assert cloud.executions[cloud.start({"cluster": "orders"})]
        cloud.run()
        assert "ValidateRequest" in list(cloud.executions.values())[-1].steps  # the lease has been given back


def test_of_twenty_clusters_that_need_the_directory_one_creates_it_and_nineteen_say_so() -> None:
    """AWS would take twenty requests: a directory that has just been asked for is not listed everywhere at once."""
    names = [f"cluster-{number}" for number in range(TWENTY)]
    with Cloud() as cloud:
        # Without databases of their own, for twenty servers would be started.
        clusters = [Cluster(id=name, secondary=True, instances=[f"{name}-1"]) for name in names]
        prepare(cloud, AtStart(clusters=clusters))
        hidden = Fault(
            call="ds:DescribeDirectories", function="EnsureDirectory", kind="forget", after=2, times=TWENTY - 1
        )
        cloud.faults = Faults([hidden])
        executions = [cloud.executions[cloud.start({"cluster": name})] for name in names]
        cloud.run(5)
        answers = [dict(execution.answers)["EnsureDirectory"]["reason"] for execution in executions]
        creating = [reason for reason in answers if reason.endswith("is being created")]
        saying_so = [reason for reason in answers if reason.endswith("is creating the directory corp.example.com")]
        assert (len(creating), len(saying_so)) == (1, TWENTY - 1)
        cloud.run(30 * 60)
        assert all("EnsureTrust" in execution.steps for execution in executions)
        directories = cloud.client("ds").describe_directories()["DirectoryDescriptions"]
        assert [each["Name"] for each in directories] == ["corp.example.com"]
        for execution in executions:
            if execution.status == "RUNNING":
                cloud.stop(execution.name)
        cloud.run()
