"""Where a search that is alone in its process gets its designs from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import optuna
from optuna.samplers import BaseSampler

from explorer.models.assessment import Assessment
from explorer.problem.columns import Columns, Float, n_rows
from explorer.search.bulk import copy_system_attrs
from explorer.search.encoding import Encoding, Params, columns_of

if TYPE_CHECKING:
    from optuna.trial import Trial

_BLOCK = 250
_CONSTRAINTS = "constraints"  # where Optuna keeps them among a trial's own attributes


@dataclass(frozen=True, slots=True)
class Proposal:
    """Designs that are to be tried: for each parameter n values, and what the sampler keeps with each trial."""

    params: Params
    n: int
    system_attrs: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class Source(Protocol):
    """Whatever proposes designs."""

    @property
    def batch(self) -> int:
        """How many to ask for before the next are told."""

    def propose(self, n: int) -> Proposal:
        """Return at most n designs; none where there are no more."""

    def learn(self, proposal: Proposal, values: Float, constraints: Mapping[str, Float]) -> None:
        """Hear what became of a proposal: objectives, shape (n, m), and by how much it misses each limit, (n,) each."""


class Listed:
    """Designs that are known beforehand, in their order.

    Args:
        designs: their knobs, shape (n,) each.
        assessment: for their parameters.
        system_attrs: what the first trials keep: for each name as many values.
    """

    def __init__(
        self, designs: Columns, assessment: Assessment, *, system_attrs: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        self._designs, self._encoding, self._at = designs, Encoding(assessment.regions), 0
        self._attrs = system_attrs or {}

    @property
    def batch(self) -> int:
        """As many as are recorded together: what a stop may have to wait for."""
        return _BLOCK

    def propose(self, n: int) -> Proposal:
        """Return the next n designs."""
        rows = slice(self._at, min(self._at + n, n_rows(self._designs)))
        self._at = rows.stop
        n_taken = rows.stop - rows.start
        part = {name: values[rows] for name, values in self._designs.items()}
        attrs = {name: _padded(list(values[rows]), n_taken) for name, values in self._attrs.items()}
        return Proposal(self._encoding.encode(part) if n_taken else {}, n_taken, attrs)

    def learn(self, proposal: Proposal, values: Float, constraints: Mapping[str, Float]) -> None:
        """Change nothing: what follows is settled."""


class Asked:
    """One of Optuna's samplers, asked on a study in memory: no storage stands between a trial and the next.

    Args:
        sampler: the sampler.
        study: the stored study, for its directions and for what samplers keep with it.
        assessment: for the parameters.
        batch: how many to ask for at once.
        n_history: how many finished trials the sampler has to know; None for all.
    """

    def __init__(
        self, sampler: BaseSampler, study: optuna.Study, assessment: Assessment, *, batch: int, n_history: int | None
    ) -> None:
        self.batch = batch
        self._distributions = Encoding(assessment.regions).distributions()
        self._stored = study
        self._mirror = optuna.create_study(directions=study.directions, sampler=sampler)
        # Samplers keep there, for instance, how far a sequence of quasi-random points has come.
        copy_system_attrs(study, self._mirror)
        finished = [] if n_history == 0 else [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
        self._mirror.add_trials(finished[:n_history])
        self._asked: list[Trial] = []

    def propose(self, n: int) -> Proposal:
        """Ask for n designs."""
        self._asked = [self._mirror.ask(dict(self._distributions)) for _ in range(n)]
        last = self._mirror.get_trials(deepcopy=False)[-n:]
        kept = [{k: v for k, v in trial.system_attrs.items() if not k.startswith(_CONSTRAINTS)} for trial in last]
        names = dict.fromkeys(name for one in kept for name in one)
        attrs = {name: [one.get(name) for one in kept] for name in names}
        return Proposal(columns_of([trial.params for trial in self._asked]), n, attrs)

    def learn(self, proposal: Proposal, values: Float, constraints: Mapping[str, Float]) -> None:
        """Tell the sampler what became of its designs."""
        del proposal
        for i, trial in enumerate(self._asked):
            for name, misses in constraints.items():
                trial.set_constraint(name, float(misses[i]))
            self._mirror.tell(trial, values[i].tolist())
        copy_system_attrs(self._mirror, self._stored)


def _padded(values: list[Any], n: int) -> list[Any]:
    return [*values, *[None] * (n - len(values))]
