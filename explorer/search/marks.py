"""Who tries a trial: the mark that a RUNNING trial carries, and whether the process behind it is gone."""

import functools
import os
import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

WORKER_ATTR = "explorer:worker"
"""A trial's system attribute: the mark of who tries it."""
BEAT_ATTR = "explorer:beat"
"""A trial's system attribute: a number that its worker counts up while it lives."""
LOST_ATTR = "explorer:lost"
"""A trial's system attribute: why it was taken for lost; its design is to be tried again."""
STOPPED = "its worker was stopped"
WITHDRAWN_ATTR = "explorer:withdrawn"
"""A trial's system attribute: why a worker took its claim back before it began."""
RETRY_ATTR = "retry of"
"""A trial's user attribute: the number of the lost trial that it repeats."""

ALONE = -1
"""The index of a worker that does not share its study: its seed is the study's own."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_DEAD = {"Z", "X", "x"}  # a zombie still has its number
# Processes that share nothing but a storage do not know each other; workers of one process do.
_at_work: set[str] = set()


@dataclass(frozen=True, slots=True)
class Mark:
    """Who tries a trial.

    Args:
        worker: tells this worker from every other that ever was.
        index: of the worker; its seed is derived from it.
        host: for people.
        place: within which process numbers mean something: a running kernel and a container of it; empty if unknown.
        pid: the process's number there.
        start: when the process began, in clock ticks since the kernel did: numbers are used again.
        claim: tells this trial from all others of the worker.
    """

    worker: str
    index: int
    host: str
    place: str
    pid: int
    start: int
    claim: str = ""

    def claimed(self) -> "Mark":
        """Return the mark of one more trial."""
        return replace(self, claim=uuid.uuid4().hex[:12])

    def as_json(self) -> dict[str, Any]:
        """Return it as a trial keeps it."""
        return asdict(self)

    @property
    def is_gone(self) -> bool | None:
        """Whether the worker has ended; None where only its silence can tell: it is on another machine."""
        if not self.place or self.place != _place():
            return None
        if self.pid == os.getpid() and self.start == _start_of(os.getpid()):
            return self.worker not in _at_work
        return self.start != _start_of(self.pid)

    def __str__(self) -> str:
        name = "a run" if self.index == ALONE else f"worker {self.index}"
        return f"{name} (process {self.pid} on {self.host})"


def mark_of(trial: FrozenTrial) -> Mark | None:
    """Return who tries a trial; None where plain Optuna does."""
    stored = trial.system_attrs.get(WORKER_ATTR)
    try:
        return Mark(**stored) if isinstance(stored, dict) else None
    except TypeError:
        return None


@contextmanager
def at_work(index: int) -> Iterator[Mark]:
    """Be a worker until the block ends, whose trials are taken over by others from then on."""
    pid = os.getpid()
    me = Mark(uuid.uuid4().hex[:12], index, platform.node(), _place(), pid, _start_of(pid) or 0)
    _at_work.add(me.worker)
    try:
        yield me
    finally:
        _at_work.discard(me.worker)


@functools.cache
def _place() -> str:
    try:
        return f"{_BOOT_ID.read_text(encoding='ascii').strip()} {_PID_NAMESPACE.readlink()}"
    except OSError:
        return ""


def _start_of(pid: int) -> int | None:
    """Return when a process of this place began, in clock ticks; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = text.rpartition(")")[2].split()  # a program's name may hold anything
    return None if state in _DEAD else int(rest[18])
