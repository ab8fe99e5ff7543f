"""Errors that AWS answers with: those of the local cloud's own checks, and those a scenario asks for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AwsError(Exception):
    """An error answer of AWS, with its own code and HTTP status; `details` are the further fields of its shape."""

    def __init__(self, code: str, message: str, status: int = 400, **details: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.details = code, message, status, details


class Fault(BaseModel):
    """A call that goes wrong: after `after` calls have gone well, `times` of them get the error."""

    model_config = ConfigDict(extra="forbid")

    call: str = Field(
        description="Service and operation, such as `rds:ModifyDBCluster`; `lambda:Invoke` is a function."
    )
    error: str = Field(description="AWS's error code.")
    message: str = "This was asked for by the scenario."
    status: int = Field(400, description="HTTP status.")
    reason: str = Field("", description="The field `Reason` of an error of `ds-data`.")
    times: int = Field(1, description="How many calls get the error.")
    after: int = Field(0, description="How many calls go well before.")


class Faults:
    """The faults of a scenario, struck in their order."""

    def __init__(self, faults: list[Fault]) -> None:
        self._left = [fault.model_copy() for fault in faults]

    def strike(self, service: str, operation: str) -> None:
        """Raise the next fault for this call, if there is one.

        Raises:
            AwsError: the fault.
        """
        for fault in self._left:
            if fault.call == f"{service}:{operation}" and fault.times > 0:
                if fault.after > 0:
                    fault.after -= 1
                    return
                fault.times -= 1
                details = {"Reason": fault.reason} if fault.reason else {}
                raise AwsError(fault.error, fault.message, fault.status, **details)
