"""Log of the runs of a study: sampler, seed, execution and times, kept with the study however a search ends."""

import datetime
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from explorer.files import cannot_write
from explorer.search.begin import RUNS_ATTR, Run
from explorer.search.patience import StorageLost, told_as_lost
from explorer.search.samplers import proposed_by

Clock = Callable[[], datetime.datetime]


@contextmanager
def logged(run: Run, *, clock: Clock, execution: Mapping[str, Any]) -> Iterator[None]:
    """Keep with the study what a run did.

    Args:
        run: the study at its storage.
        clock: tells the time.
        execution: where designs were evaluated, as plain JSON values; empty for this process.

    Raises:
        WrongUsage: the disk is full, or cannot be written.
        StorageLost: the storage went away where nothing could be repeated.
    """
    began, first = clock(), run.tried.n
    try:
        with told_as_lost(run.place):
            yield
    except OSError as error:
        raise cannot_write(Path(run.place), error) from None
    finally:
        with suppress(OSError, StorageLost), told_as_lost(run.place):
            if run.tried.n > first:
                study = run.assessment.study
                entry = {
                    "sampler": study.sampler, "proposed_by": proposed_by(run.assessment), "seed": study.seed,
                    "from": first, "to": run.tried.n,
                    **({"host": platform.node(), **execution} if execution else {}),
                    "began": began.isoformat(timespec="seconds"), "ended": clock().isoformat(timespec="seconds"),
                }  # fmt: skip
                run.study.set_user_attr(RUNS_ATTR, [*run.study.user_attrs.get(RUNS_ATTR, []), entry])


def runs_of(run: Run) -> list[dict[str, Any]]:
    """Return the runs of a study in order of their beginnings; earlier versions kept an entry for each worker too."""
    attrs = run.study.user_attrs
    workers = [entry for name, entry in attrs.items() if name.startswith(f"{RUNS_ATTR}/")]
    return sorted([*attrs.get(RUNS_ATTR, []), *workers], key=lambda entry: str(entry["began"]))
