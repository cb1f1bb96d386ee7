"""Running a study: search until the wanted number of trials is COMPLETE, and go on where it stopped."""

import datetime
from collections.abc import Callable

from explorer.search.alone import search_alone
from explorer.search.begin import Run
from explorer.search.marks import ALONE
from explorer.search.progress import Progress, stoppable
from explorer.search.run_log import Clock, logged
from explorer.search.shared import Count, are_others_at_work, ignored, search_shared

__all__ = ["Clock", "Progress", "logged", "search", "utc_now"]


def search(
    run: Run,
    *,
    worker: int | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    count: Count = ignored,
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
        count: told, as a worker, how many trials are COMPLETE, wanted, and added by it.
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
            return search_alone(run, progress=progress, should_stop=is_stopped, say=say)
        index = ALONE if worker is None else worker
        return search_shared(run, index=index, progress=progress, should_stop=is_stopped, count=count, say=say)


def utc_now() -> datetime.datetime:
    """Return the time, for provenance."""
    return datetime.datetime.now(datetime.UTC)
