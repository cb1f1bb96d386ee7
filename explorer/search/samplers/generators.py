"""Candidate generators of the single-process search: a fixed list, and Optuna samplers on a mirror of the study.

Each has `batch`, the number of designs to propose before any of them is evaluated; `propose`, which returns at most n
designs, none if no more are left; and `tell` (Optuna's ask-and-tell interface), which receives their objectives, shape
(n, m), and their constraint violations, shape (n,) each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from explorer.models.evaluation import Problem
from explorer.problem.columns import Columns, Float, n_rows
from explorer.search.encoding import Encoding, Params, columns_of
from explorer.search.samplers.mirror import StudyMirror

if TYPE_CHECKING:
    from optuna.trial import Trial

_WRITE_SIZE = 250


@dataclass(frozen=True, slots=True)
class CandidateBatch:
    """Parameters of n designs, and the system attributes of their trials: n values for each name."""

    params: Params
    n: int
    system_attrs: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class ListGenerator:
    """Generator of listed designs in order; for each name the first trials get the given system attributes."""

    batch = _WRITE_SIZE  # an interruption waits for one write

    def __init__(
        self, designs: Columns, problem: Problem, *, system_attrs: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        self._designs, self._encoding, self._position = designs, Encoding(problem.regions), 0
        self._attrs = system_attrs or {}

    def propose(self, n: int) -> CandidateBatch:
        """Return the next n designs."""
        rows = slice(self._position, min(self._position + n, n_rows(self._designs)))
        self._position, n = rows.stop, rows.stop - rows.start
        part = {name: values[rows] for name, values in self._designs.items()}
        attrs = {name: [*values[rows], *[None] * (n - len(values[rows]))] for name, values in self._attrs.items()}
        return CandidateBatch(self._encoding.encode(part) if n else {}, n, attrs)

    def tell(self, proposal: CandidateBatch, values: Float, constraints: Mapping[str, Float]) -> None:
        """Do nothing: the list is fixed."""


class SamplerGenerator:
    """Generator by an Optuna sampler on a mirror, `batch` designs at a time."""

    def __init__(self, mirror: StudyMirror, *, batch: int) -> None:
        self._mirror, self.batch = mirror, batch
        self._pending: list[Trial] = []

    def propose(self, n: int) -> CandidateBatch:
        """Ask for n designs."""
        self._pending = [self._mirror.ask() for _ in range(n)]
        attrs = [self._mirror.attributes_of(trial) for trial in self._pending]
        names = dict.fromkeys(name for one in attrs for name in one)
        columns = {name: [one.get(name) for one in attrs] for name in names}
        return CandidateBatch(columns_of([trial.params for trial in self._pending]), n, columns)

    def tell(self, proposal: CandidateBatch, values: Float, constraints: Mapping[str, Float]) -> None:
        """Pass the outcome of the pending designs to the sampler."""
        del proposal
        for i, trial in enumerate(self._pending):
            excess = {name: float(of[i]) for name, of in constraints.items()}
            self._mirror.tell(trial, values[i].tolist(), constraints=excess)
        self._mirror.store_attributes()
