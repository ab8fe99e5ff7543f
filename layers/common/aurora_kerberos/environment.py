"""The environment variables that the template gives to functions. The stack's settings are in `desired.py`."""

from __future__ import annotations

import os

from aurora_kerberos.errors import StackIncomplete


class Variable:
    """An environment variable with the attribute's name in upper case. It is read at each use."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name.upper()

    def __get__(self, instance: object, owner: type) -> str:
        """The variable's value, which may be empty.

        Raises:
            StackIncomplete: the function does not have the variable.
        """
        value = os.environ.get(self._name)
        if value is None:
            raise StackIncomplete(
                f"The function has no environment variable {self._name}.",
                "Deploy the stack again: its template gives each function the variables that it reads.",
            )
        return value


class Environment:
    """The variables of all functions; each function has those that it reads, which a test of the template holds."""

    answers_queue = Variable()
    authorities_secret = Variable()
    external_id = Variable()
    function_security_group = Variable()
    member_role = Variable()
    notification_topic = Variable()
    parameter_prefix = Variable()
    permissions_boundary = Variable()
    registry_table = Variable()
    rollout_bucket = Variable()
    rollout_table = Variable()
    second_person = Variable()
    secrets_key = Variable()
    stack_settings = Variable()
    state_machine = Variable()


environment = Environment()
