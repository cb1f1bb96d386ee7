"""Claims: no two workers try one design, and no more are tried than are wanted."""

from optuna.trial import FrozenTrial, TrialState

from explorer.search.board import Board, Key
from explorer.search.ledger import Ending, Ledger
from explorer.search.marks import WITHDRAWN_ATTR, WORKER_ATTR, Mark, mark_of
from explorer.search.next_step import Step
from explorer.search.patience import Patience


class Claims:
    """Claims of one worker.

    Args:
        me: the worker.
        ledger: where trials are stored.
        board: the study's state.
        patience: with the storage.
    """

    def __init__(self, me: Mark, ledger: Ledger, board: Board, patience: Patience) -> None:
        self._me, self._ledger, self._board, self._patience = me, ledger, board, patience

    def make(self, template: FrozenTrial, *, is_done: bool = False) -> FrozenTrial | None:
        """Create a trial that nobody else tries; None where somebody does.

        Args:
            template: the trial.
            is_done: whether it is COMPLETE already, and only wants to be kept, if nobody else has completed its design.
        """
        mark = self._me.claimed()
        template.system_attrs = {**template.system_attrs, WORKER_ATTR: mark.as_json()}
        key = self._board.key_of(template.params)
        attempts: list[int] = []

        def attempt() -> FrozenTrial | None:
            attempts.append(1)
            if len(attempts) > 1 and (mine := self._stored(mark)):
                return self._kept(mine, key, is_done=is_done)
            return self._ledger.claim(template, lambda number: self._is_free(key, number, is_done=is_done))

        return self._patience(attempt)

    def take(self, step: Step) -> FrozenTrial | None:
        """Take a trial that waits; None where somebody else has."""
        waiting, mark = step.waiting, self._me.claimed()
        if waiting is None:
            raise TypeError(step)

        def attempt() -> FrozenTrial | None:
            if not self._ledger.take_waiting(waiting, mark) and not self._stored(mark):
                return None
            self._ledger.add_params(waiting, step.params)
            return waiting

        return self._patience(attempt)

    def _is_free(self, key: Key, number: int | None, *, is_done: bool) -> bool:
        board = self._board
        board.take_in(self._ledger.trials)
        if is_done:
            return number is not None or key not in board.complete
        if board.is_taken(key, before=number):
            return False
        return (board.n_complete + board.n_tried if number is None else board.n_before(number)) < board.wanted

    def _stored(self, mark: Mark) -> FrozenTrial | None:
        """Return the trial of a claim whose answer was lost."""
        self._ledger.refresh()
        of_mine = (t for t in reversed(self._ledger.trials) if (found := mark_of(t)) and found.claim == mark.claim)
        return next(of_mine, None)

    def _kept(self, mine: FrozenTrial, key: Key, *, is_done: bool) -> FrozenTrial | None:
        """Return a claim that was found again, unless somebody was quicker."""
        if is_done or self._is_free(key, mine.number, is_done=False):
            return mine
        late = Ending(TrialState.FAIL, system_attrs={WITHDRAWN_ATTR: "another worker was quicker"})
        self._ledger.end(mine._trial_id, late)  # noqa: SLF001
        return None
