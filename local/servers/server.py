"""What the KDC and PostgreSQL of the local run have in common: a process that is ended by its handle."""

from __future__ import annotations

import atexit
import collections
import os
import signal
import socket
import subprocess
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"  # where all servers of the local run listen
NOBODY = "127.0.0.2"  # and where none does


class ServerError(RuntimeError):
    """A server did not start; the message ends with its last words."""


class Server:
    """A process that says when it is ready, on standard output or standard error, and is ended by a signal."""

    def __init__(
        self,
        command: Sequence[str | Path],
        ready: str,
        environment: Mapping[str, str],
        user: str | None = None,
        end: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._end = end
        identity = {"user": user, "group": user_group(user), "extra_groups": []} if user else {}
        self._last_words: collections.deque[str] = collections.deque(maxlen=20)
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            text=True,
            **identity,  # type: ignore[call-overload]  # user, group and extra_groups, or none of them
        )
        # Somebody has to go on reading, or the server would wait for that.
        self._reader = threading.Thread(target=collections.deque, args=(self._lines(), 0), daemon=True)
        atexit.register(self.stop)
        for line in self._lines():
            if ready in line:
                break
        else:
            self.stop()
            raise ServerError(f"{command[0]} did not start: {''.join(self._last_words)}")
        self._reader.start()

    def _lines(self) -> collections.abc.Iterator[str]:
        for line in self._process.stdout or ():
            self._last_words.append(line)
            yield line

    def stop(self) -> None:
        """End it, and wait until it has ended; a second call does nothing."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.send_signal(self._end)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._reader.is_alive():
            self._reader.join(timeout=10)  # to the end of what the server has said
        if self._process.stdout:
            self._process.stdout.close()


def user_group(user: str) -> int:
    """The group id of a user of this system."""
    import pwd  # noqa: PLC0415  not on every system, and only needed by root

    return pwd.getpwnam(user).pw_gid


class Port:
    """A TCP port on loopback that nobody else gets before the server that is to listen there starts.

    Attributes:
        number: of the port.
        release: to be called right before the server starts; a second call does nothing.
    """

    def __init__(self) -> None:
        with socket.socket() as held:
            held.bind((LOOPBACK, 0))
            self.number: int = held.getsockname()[1]
            self.release = weakref.finalize(self, os.close, held.detach())  # many are given up without a server
