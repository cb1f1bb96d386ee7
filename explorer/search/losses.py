"""Trials whose workers are gone: found, ended once, and given up where their designs are what kills workers."""

from collections.abc import Callable

from optuna.trial import FrozenTrial, TrialState

from explorer.search.begin import FAILED_ATTR
from explorer.search.board import MOST_LOSSES, Board
from explorer.search.ledger import Ending
from explorer.search.marks import LOST_ATTR, STOPPED, Mark, mark_of
from explorer.search.view import View
from explorer.search.watch import GRACE_S, Watch


def end_lost(view: View, *, me: Mark, watch: Watch, say: Callable[[str], None]) -> bool:
    """End all trials whose workers are gone; tell whether there were any.

    Exactly one worker ends each of them; whoever sees it then may try its design again.

    Args:
        view: the study.
        me: who looks, between two trials of its own.
        watch: how long workers on other machines have been silent.
        say: tells the user something.
    """
    found = False
    for trial in list(view.board.running.values()):
        mark = mark_of(trial)
        if mark is None or not (why := _why_lost(trial, mark, me=me, watch=watch)):
            continue
        found = True
        ending = as_lost(view.board, trial, why)
        trial_id = trial._trial_id  # noqa: SLF001
        if view.patience(lambda trial_id=trial_id, ending=ending: view.ledger.end(trial_id, ending)):  # type: ignore[misc]
            say(f"trial {trial.number}: {mark} is gone ({why}); {_what_now(ending)}")
    return found


def as_lost(board: Board, trial: FrozenTrial, why: str) -> Ending:
    """Return how a lost trial ends."""
    n = board.n_losses(board.key(trial)) + (why != STOPPED)
    failed = {FAILED_ATTR: f"{n} workers were lost while they measured it"} if n >= MOST_LOSSES else {}
    return Ending(TrialState.FAIL, user_attrs=failed, system_attrs={LOST_ATTR: why})


def _why_lost(trial: FrozenTrial, mark: Mark, *, me: Mark, watch: Watch) -> str:
    """Return why a trial is lost; empty where it may be alive."""
    if mark.worker == me.worker:
        return "it is no longer at it"
    is_gone = mark.is_gone
    if is_gone is not None:
        return "its process has ended" if is_gone else ""
    silence = watch.silence_of(trial._trial_id)  # noqa: SLF001
    return f"no sign of life for {silence:.0f} s" if silence > GRACE_S else ""


def _what_now(ending: Ending) -> str:
    if FAILED_ATTR in ending.user_attrs:
        return f"{ending.user_attrs[FAILED_ATTR]}: its design is given up"
    return "its design is tried again"
