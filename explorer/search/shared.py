"""Searching beside others, or where every design is measured: one design after the other, until all have enough."""

import time
from collections.abc import Callable

import optuna
from optuna.trial import TrialState

from explorer.errors import MeasurementFailed
from explorer.search.begin import Run
from explorer.search.losses import end_lost
from explorer.search.marks import ALONE, LOST_ATTR, Mark, at_work, mark_of
from explorer.search.next_step import Steps
from explorer.search.patience import PATIENCE_S, Patience
from explorer.search.progress import Progress, stopped
from explorer.search.trying import Trier
from explorer.search.unstored import drop_stored, unstored
from explorer.search.view import View
from explorer.search.watch import Watch, watching

# A network that cannot be run at all must not be tried for ever; one in twenty that can keeps a search alive.
MAX_FAILURES_IN_A_ROW = 20
_LOOK_AGAIN_S = 0.2
_CHECK_EVERY_S = 0.5

Say = Callable[[str], None]
Count = Callable[[int, int, int], None]
"""Told how many trials are COMPLETE, how many are wanted, and how many of them this worker has added."""


def ignored(n_complete: int, n_wanted: int, n_added: int) -> None:
    """Hear of trials, and do nothing."""


def search_shared(
    run: Run,
    *,
    index: int = ALONE,
    progress: Progress | None = None,
    should_stop: Callable[[], bool],
    count: Count = ignored,
    say: Say = lambda _: None,
    patience_s: float = PATIENCE_S,
    only_given: bool = False,
) -> int:
    """Search, beside others, until the wanted number of trials is COMPLETE over all; return how many were added here.

    Args:
        run: the study at its storage.
        index: of this worker; each draws its own numbers.
        progress: who wants to know how far the study is.
        should_stop: asked between designs.
        count: told how many trials there are, after each.
        say: tells the user what happened.
        patience_s: how long a storage may be away.
        only_given: try only what was given: designs that somebody enqueued, and those of lost trials.

    Raises:
        Interrupted: it was stopped before it was done; everything told is recorded.
        MeasurementFailed: so many designs in a row could not be measured that none will be.
        StorageLost: the storage went away and did not come back.
    """
    view = View(run, patience=Patience(run.place, say=say, seconds=patience_s), progress=progress)
    with at_work(index) as me, watching(view.ledger) as watch:
        worker = _Worker(view, me, watch=watch, count=count, say=say)
        try:
            return worker.work(should_stop, only_given=only_given)
        finally:
            view.ledger.close()
            run.forget()


class _Worker:
    """One worker of a study: a resource for as long as it works."""

    def __init__(self, view: View, me: Mark, *, watch: Watch, count: Count, say: Say) -> None:
        self._view, self._me, self._watch, self._count, self._say = view, me, watch, count, say
        self._n_added = 0
        self._trier = Trier(view, me, watch=watch, say=say)
        self._checked = -_CHECK_EVERY_S

    def work(self, should_stop: Callable[[], bool], *, only_given: bool) -> int:
        run, board = self._view.run, self._view.board
        self._view.recall(unstored(run.out))
        self._look()
        steps = Steps(run, board, index=self._me.index)
        n_failed = 0
        while board.n_complete < board.wanted:
            if should_stop():
                raise stopped(run, board.n_complete, board.wanted)
            step = self._view.patience(lambda: steps.next(self._view.ledger.trials, only_given=only_given))
            if step is None:
                if only_given or not board.n_tried:
                    break  # there are no more designs than that
                time.sleep(_LOOK_AGAIN_S)
            else:
                try:
                    self._n_added += self._trier.try_design(step)
                    n_failed = 0
                except MeasurementFailed as error:
                    n_failed += 1
                    if n_failed >= MAX_FAILURES_IN_A_ROW:
                        raise _hopeless(error, place=run.place) from None
            self._look()
        drop_stored(run.out, self._view.ledger.trials)
        return self._n_added

    def _look(self) -> None:
        """See what others did, and once in a while end the trials of those that are gone."""
        self._view.look()
        board = self._view.board
        self._count(board.n_complete, board.wanted, self._n_added)
        if time.monotonic() - self._checked < _CHECK_EVERY_S:
            return
        self._checked = time.monotonic()
        while end_lost(self._view, me=self._me, watch=self._watch, say=self._say):
            self._view.look()


def is_given(study: optuna.Study) -> bool:
    """Tell whether designs wait that somebody enqueued, or that a worker left behind."""
    trials = study.get_trials(deepcopy=False)
    return any(
        t.state == TrialState.WAITING or LOST_ATTR in t.system_attrs
        or (t.state == TrialState.RUNNING and mark_of(t) is not None)
        for t in trials
    )  # fmt: skip


def are_others_at_work(study: optuna.Study) -> bool:
    """Tell whether workers try designs of a study now, as far as can be told at once."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return any(mark.is_gone is not True for trial in running if (mark := mark_of(trial)))


def _hopeless(error: MeasurementFailed, *, place: str) -> MeasurementFailed:
    what = f"{MAX_FAILURES_IN_A_ROW} designs in a row could not be measured, the last one because: {error.problem}"
    return MeasurementFailed(f"{what}; all finished trials are in {place}", fix=error.fix)
