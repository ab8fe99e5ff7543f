"""What Step Functions itself refuses is recorded as well: a Fail state may not name an error of its own States."""

from __future__ import annotations

from local.cloud import Cloud
from local.scenario.expectations import registry_item
from local.scenario.format import AtStart, Cluster, Directory
from local.scenario.prepare import prepare


def test_a_plan_that_is_too_large_is_recorded_under_its_own_name() -> None:
    with Cloud() as cloud:
        directory = Directory(dns_name="corp.example.com")
        prepare(cloud, AtStart(clusters=[Cluster(id="orders")], directories=[directory]))
        people = [f"person-{number}" for number in range(4000)]
        execution = cloud.executions[cloud.start({"cluster": "orders", "principals": people})]
        cloud.run()
        assert (execution.status, execution.error) == ("FAILED", "StateFailed")
        assert "Fewer principals per cluster" in execution.cause
        item = registry_item(cloud, "orders")
        assert (item["outcome"], item["error"]) == ("failed", "States.DataLimitExceeded")
