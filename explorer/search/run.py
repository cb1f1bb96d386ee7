"""Running a study: search until the wanted number of trials is COMPLETE, and go on where it stopped."""

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from explorer.files import cannot_write
from explorer.search.alone import search_alone
from explorer.search.begin import RUNS_ATTR, Run
from explorer.search.marks import ALONE
from explorer.search.progress import Progress, stoppable
from explorer.search.shared import are_others_at_work, search_shared

__all__ = ["Clock", "Progress", "logged", "search", "utc_now"]

Clock = Callable[[], datetime.datetime]


def search(
    run: Run,
    *,
    worker: int | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Search until the wanted number of trials is COMPLETE; return how many were added.

    Ctrl-C ends it after the batch at hand: everything told so far is stored. Where every design is measured, a batch is
    one design, and one that cannot be measured is told as failed and does not count. Where others work on the same
    study, their trials count as well, and nobody tries a design that somebody else does.

    Args:
        run: the study at its storage.
        worker: the index of this worker where several share the study; each draws its own numbers.
        progress: who wants to know how far it is.
        should_stop: asked between batches.
        say: tells the user what happened.

    Raises:
        Interrupted: it was stopped before it was done.
        MeasurementFailed: so many designs in a row could not be measured that none will be.
        StorageLost: the storage went away in the middle, and did not come back.
        WrongUsage, InvalidFile, MissingPart: the storage or sampler cannot be used, or holds another question.
    """
    with stoppable() as is_interrupted:

        def is_stopped() -> bool:
            return is_interrupted() or should_stop()

        if worker is None and run.assessment.is_cheap and not are_others_at_work(run.study):
            return search_alone(run, progress=progress, should_stop=is_stopped)
        index = ALONE if worker is None else worker
        return search_shared(run, index=index, progress=progress, should_stop=is_stopped, say=say)


@contextmanager
def logged(run: Run, *, clock: Clock) -> Iterator[None]:
    """Keep with the study who searched what and when, however the run ends."""
    study = run.assessment.study
    began, first = clock(), run.tried.n
    try:
        yield
    except OSError as error:
        raise cannot_write(Path(run.place), error) from None
    finally:
        done = run.tried.n
        if done > first:
            entry = {
                "sampler": study.sampler,
                "seed": study.seed,
                "from": first,
                "to": done,
                "began": began.isoformat(timespec="seconds"),
                "ended": clock().isoformat(timespec="seconds"),
            }
            with suppress(OSError):
                run.study.set_user_attr(RUNS_ATTR, [*run.study.user_attrs.get(RUNS_ATTR, []), entry])


def utc_now() -> datetime.datetime:
    """Return the time, for provenance."""
    return datetime.datetime.now(datetime.UTC)
