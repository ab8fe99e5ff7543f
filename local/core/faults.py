"""Errors that AWS answers with: those of the local cloud's own checks, and those a scenario asks for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AwsError(Exception):
    """An error answer of AWS, with its own code and HTTP status; `details` are the further fields of its shape."""

    def __init__(self, code: str, message: str, status: int = 400, **details: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.details = code, message, status, details


class Unmodelled(BaseException):
    """The local cloud lacks something, and says what has to be written.

    It is no answer of AWS, so no function may catch it: it ends the run, with its own traceback.
    """


READS = ("Describe", "Get", "List", "Search", "Lookup", "Batch", "Verify", "Assume")  # operations that change nothing


class Fault(BaseModel):
    """A call that goes wrong: after `after` calls have gone well, `times` of them go wrong.

    The kinds: `error` is an answer of AWS, after whatever botocore has tried again by itself. `lost` takes effect, but
    its answer does not arrive; `stall` does not even reach AWS; both time out, and botocore tries again as often as the
    client is set to: each attempt counts. `forget`, of reading calls: AWS answers as if nothing were there yet. A
    function (`lambda:Invoke`) that stalls does its work and then runs into its time-out.
    """

    model_config = ConfigDict(extra="forbid")

    call: str = Field(
        description="Service and operation, such as `rds:ModifyDBCluster`; `lambda:Invoke` is a function."
    )
    kind: Literal["error", "lost", "stall", "forget"] = "error"
    function: str = Field("", description="The function that calls, or is invoked; when empty, any.")
    error: str = Field("", description="AWS's error code, of an `error`.")
    message: str = "This was asked for by the scenario."
    status: int = Field(400, description="HTTP status.")
    reason: str = Field("", description="The field `Reason` of an error of `ds-data`.")
    times: int = Field(1, description="How many calls go wrong.")
    after: int = Field(0, description="How many calls go well before.")

    @model_validator(mode="after")
    def _fits(self) -> Fault:
        if (self.kind == "error") != bool(self.error):
            raise ValueError("An error has a code in `error`, and nothing else has.")
        if self.kind == "forget" and not self.call.partition(":")[2].startswith(READS):
            raise ValueError(f"Only what reads can forget; {self.call} does not.")
        return self

    def as_error(self) -> AwsError:
        """The answer of AWS."""
        details = {"Reason": self.reason} if self.reason else {}
        return AwsError(self.error, self.message, self.status, **details)


class Faults:
    """The faults of a scenario, struck in their order."""

    def __init__(self, faults: list[Fault]) -> None:
        self._remaining = [fault.model_copy() for fault in faults]

    def strike(self, call: str, function: str) -> Fault | None:
        """The fault of this call of a function, if there is one."""
        for fault in self._remaining:
            if fault.call == call and fault.function in ("", function) and fault.times > 0:
                if fault.after > 0:
                    fault.after -= 1
                    return None
                fault.times -= 1
                return fault
        return None
