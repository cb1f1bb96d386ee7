"""A shared study as one process sees it: read again and again, what others measured taken over, progress told."""

from collections.abc import Sequence

from explorer.models.evaluator import measurer
from explorer.search.begin import MEASURED_ATTR, Run
from explorer.search.board import Board
from explorer.search.encoding import Encoding
from explorer.search.ledgers import ledger_of
from explorer.search.patience import Patience
from explorer.search.progress import FrontSoFar, Progress
from explorer.search.tried import tried_of


class View:
    """What a process knows of a shared study.

    Args:
        run: the study at its storage.
        patience: with the storage.
        progress: who wants to know how far the study is.
    """

    def __init__(self, run: Run, *, patience: Patience, progress: Progress | None) -> None:
        self.run, self.patience = run, patience
        self.ledger = ledger_of(run.study, Encoding(run.assessment.regions).distributions())
        self.board = Board(run.assessment)
        self._measuring = measurer(run.assessment.evaluator)
        self._front = FrontSoFar(run, progress) if progress else None
        self._is_new = True

    def look(self) -> None:
        """See what others did.

        Raises:
            StorageLost: the storage went away and did not come back.
        """
        self.patience(self.ledger.refresh)
        self.board.take_in(self.ledger.trials)
        complete = self.board.newly_complete()
        self.recall([trial.user_attrs.get(MEASURED_ATTR) for trial in complete])
        if self._front is None or not (complete or self._is_new):
            return
        self._is_new = False
        known = set(self.run.tried.numbers.tolist())
        if new := [trial for trial in complete if trial.number not in known]:
            self.run.add(tried_of(new, self.run.assessment))
        self._front.look(self.board.wanted)

    def recall(self, rows: Sequence[object]) -> None:
        """Take over measurements, so that nobody makes them again."""
        if self._measuring:
            for row in rows:
                self._measuring.recall(row)
