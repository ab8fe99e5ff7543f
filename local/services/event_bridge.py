"""Amazon EventBridge: events of AWS services on the default bus, delivered as well as a scenario wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from moto.events.models import events_backends

from local.core.cloud import Cloud

Delivery = Literal["once", "lost", "doubled"]  # of an event


class DefaultBus:
    """The default buses of all accounts and Regions; `delivery` is what becomes of an event."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.delivery: Delivery = "once"

    def deliver(self, event: Mapping[str, Any]) -> None:
        """Deliver an event of an AWS service, in the present account and Region."""
        if self.delivery == "lost":
            return
        if self.delivery == "doubled":
            self._cloud.clock.call_later(self._cloud.takes.event, lambda: self._send(event))
        self._send(event)

    def _send(self, event: Mapping[str, Any]) -> None:
        backend = events_backends[self._cloud.account][self._cloud.region]
        for rule in list(backend.describe_event_bus("default").rules.values()):
            rule.send_to_targets(dict(event))
