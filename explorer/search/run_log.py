"""Who searched a study, with what, and when: kept with the study, however a search ends."""

import datetime
import platform
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from explorer.files import cannot_write
from explorer.search.begin import RUNS_ATTR, Run
from explorer.search.patience import StorageLost, told_as_lost
from explorer.search.samplers import proposed_by

Clock = Callable[[], datetime.datetime]


@contextmanager
def logged(run: Run, *, clock: Clock) -> Iterator[None]:
    """Keep with the study what a run did.

    Raises:
        WrongUsage: the disk is full, or cannot be written.
        StorageLost: the storage went away where nothing could be repeated.
    """
    first = run.tried.n

    def keep(times: dict[str, str]) -> None:
        done = run.tried.n
        if done > first:
            entry = {**_how(run), "from": first, "to": done, **times}
            run.study.set_user_attr(RUNS_ATTR, [*run.study.user_attrs.get(RUNS_ATTR, []), entry])

    with _logged(run, clock, keep):
        yield


@contextmanager
def logged_worker(run: Run, *, index: int, n_added: Callable[[], int], clock: Clock) -> Iterator[None]:
    """Keep with the study what one worker did, under a name of its own: many may end at once.

    Args:
        run: the study at its storage.
        index: of the worker.
        n_added: tells how many trials it has added.
        clock: tells the time.

    Raises:
        WrongUsage, StorageLost: as above.
    """

    def keep(times: dict[str, str]) -> None:
        n = n_added()
        if n:
            who = {"worker": index, "host": platform.node()}
            entry = {**who, **_how(run), "added": n, **times}
            run.study.set_user_attr(f"{RUNS_ATTR}/{uuid.uuid4().hex[:12]}", entry)

    with _logged(run, clock, keep):
        yield


def runs_of(run: Run) -> list[dict[str, Any]]:
    """Return who searched a study, in order of their beginnings."""
    attrs = run.study.user_attrs
    workers = [entry for name, entry in attrs.items() if name.startswith(f"{RUNS_ATTR}/")]
    return sorted([*attrs.get(RUNS_ATTR, []), *workers], key=lambda entry: str(entry["began"]))


def _how(run: Run) -> dict[str, Any]:
    study = run.assessment.study
    return {"sampler": study.sampler, "proposed_by": proposed_by(run.assessment), "seed": study.seed}


@contextmanager
def _logged(run: Run, clock: Clock, keep: Callable[[dict[str, str]], None]) -> Iterator[None]:
    began = clock()
    try:
        with told_as_lost(run.place):
            yield
    except OSError as error:
        raise cannot_write(Path(run.place), error) from None
    finally:
        with suppress(OSError, StorageLost), told_as_lost(run.place):
            keep({"began": began.isoformat(timespec="seconds"), "ended": clock().isoformat(timespec="seconds")})
