"""What happens in a scenario, one thing after the other."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from local.cloud import Cloud
from local.core import places
from local.core.cloud import person
from local.core.places import Place
from local.scenario.expectations import Check
from local.scenario.format import (
    Answer,
    Happening,
    JoinInMaintenanceWindow,
    LeaveDomain,
    Leaves,
    MakeTrust,
    Redrive,
    Restart,
    RollOut,
    SetParameter,
    Start,
    Stop,
    StoreKeytab,
    Tag,
    Untag,
    Users,
    Wait,
)
from local.scenario.prepare import create_users, put_parameter, store_keytab


def happen_all(cloud: Cloud, happenings: list[Happening]) -> list[Check]:
    """Let one thing happen after the other; a failed check for the first that could not, and the rest left out."""
    for happening in happenings:
        try:
            happen(cloud, happening)
        except (LookupError, RuntimeError, ClientError) as error:
            return [Check(f"what happens can happen: {happening!r}", passed=False, got=str(error))]
    return []


def happen(cloud: Cloud, happening: Happening) -> None:  # noqa: PLR0912, PLR0915  a case for each happening
    """Let one thing happen now."""
    match happening:
        case Tag():
            cloud.happened(f"somebody tags {happening.tag} {happening.with_}")
            with places.of(happening.tag) as name, cloud.acting(person(happening.by)):
                cloud.client("rds").add_tags_to_resource(
                    ResourceName=cloud.cluster_arn(name),
                    Tags=[{"Key": key, "Value": value} for key, value in happening.with_.items()],
                )
        case Untag():
            cloud.happened(f"somebody takes {', '.join(happening.keys)} off {happening.untag}")
            with places.of(happening.untag) as name:
                cloud.client("rds").remove_tags_from_resource(
                    ResourceName=cloud.cluster_arn(name), TagKeys=happening.keys
                )
        case Start():
            with places.at(Place(happening.account, happening.region)), cloud.acting(person(happening.by)):
                cloud.start(resolved(happening.start, cloud.named))
        case Stop():
            name = execution_named(cloud, happening.stop)
            cloud.happened(f"somebody stops {name}")
            cloud.stop(name)
        case Redrive():
            name = execution_named(cloud, happening.redrive)
            cloud.happened(f"somebody redrives {name}")
            cloud.redrive(name)
        case Users():
            cloud.happened(f"an administrator creates {', '.join(happening.create_users)} in {happening.directory}")
            with places.of(happening.directory) as name:
                create_users(cloud, name, happening.create_users)
        case MakeTrust():
            cloud.directories.on_premises[happening.make_trust].password = happening.password
            cloud.happened(f"the administrator of {happening.make_trust} makes his side of the trust")
        case Leaves():
            cloud.happened(f"an administrator takes {happening.leaves} out of {happening.group}")
            with places.of(happening.directory) as name:
                data = cloud.directories.data(cloud.directories.find(name).directory_id)
            data.true[happening.group].members.remove(happening.leaves)
            data.written(cloud, happening.group)
        case StoreKeytab():
            store_keytab(cloud, happening.store_keytab, happening.principal)
            cloud.happened(f"an administrator stores the keytab of {happening.principal}")
        case JoinInMaintenanceWindow():
            cloud.happened(f"somebody lets {happening.join_in_maintenance_window} join in the maintenance window")
            with places.of(happening.join_in_maintenance_window) as name:
                cloud.client("rds").modify_db_cluster(
                    DBClusterIdentifier=name,
                    Domain=cloud.directories.find(happening.directory).directory_id,
                    DomainIAMRoleName=happening.role,
                )
        case RollOut():
            asked = resolved(happening.roll_out, cloud.named)
            cloud.start_execution(cloud.outputs["RolloutStateMachine"], asked)
        case Answer():
            cloud.happened(f"{happening.by} runs the command to {happening.answer}")
            with cloud.acting(person(happening.by)):
                run_command(cloud, happening.answer)
        case LeaveDomain():
            cloud.happened(f"somebody takes {happening.leave_domain} out of its domain")
            with places.of(happening.leave_domain) as name:
                cloud.client("rds").modify_db_cluster(DBClusterIdentifier=name, Domain="none", ApplyImmediately=True)
        case SetParameter():
            cloud.happened(f"somebody writes the parameter {happening.set_parameter}")
            put_parameter(cloud, happening.set_parameter, json.dumps(happening.to), Overwrite=True)
        case Restart():
            for instance in happening.restart:
                cloud.happened(f"somebody restarts {instance}")
                with places.of(instance) as name:
                    cloud.client("rds").reboot_db_instance(DBInstanceIdentifier=name)
                cloud.run(cloud.clock.now + cloud.takes.restart)
        case Wait():
            cloud.run(None if happening.wait == "quiet" else cloud.clock.now + happening.wait)


def run_command(cloud: Cloud, word: str) -> None:
    """Run the command of the AWS CLI that gives this answer, as the last question's notification has it."""
    sent = [call for call in cloud.calls if call.name == "sns:Publish"]
    (*_, (call, command)) = (
        (call, line)
        for call in sent
        for line in str(call.parameters["Message"]).splitlines()
        if line.startswith("aws sqs send-message ") and f" '{word} " in line
    )
    words = shlex.split(command)[3:]
    options = dict(zip(words[::2], words[1::2], strict=True))
    if options["--region"] != call.region:
        raise ValueError(f"The command is for another Region: {command}")
    cloud.client("sqs", *call.place).send_message(
        QueueUrl=options["--queue-url"], MessageBody=options["--message-body"]
    )


def execution_named(cloud: Cloud, number: int) -> str:
    """The name of the n-th execution that was started.

    Raises:
        LookupError: there are not so many.
    """
    return list(cloud.executions)[number - 1]


def resolved(value: Any, named: Mapping[str, str]) -> Any:
    """The value with every `$name` in it replaced by what has that name."""
    match value:
        case dict():
            return {key: resolved(each, named) for key, each in value.items()}
        case list():
            return [resolved(each, named) for each in value]
        case str() if value.startswith("$"):
            return named[value[1:]]
    return value
