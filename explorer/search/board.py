"""What is done, being tried, lost and left of a shared study, as its trials tell: nobody has to keep lists of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from explorer.models.assessment import Assessment
from explorer.problem.columns import Columns, n_rows
from explorer.search.begin import FAILED_ATTR
from explorer.search.encoding import Encoding, columns_of, rows_of
from explorer.search.first import measured_designs, wants_all
from explorer.search.marks import LOST_ATTR, STOPPED, mark_of
from explorer.search.tried import keys_of

MOST_LOSSES = 3
"""How many workers may be lost over one design before it is given up: it may be what kills them."""

_MOST_LISTED = 10_000

Key = tuple[Any, ...]
"""A design: its knobs."""


class Board:
    """A shared study's state.

    Args:
        assessment: the question.
    """

    def __init__(self, assessment: Assessment) -> None:
        self._assessment, self._encoding = assessment, Encoding(assessment.regions)
        self._names = self._encoding.distributions().keys()
        self._seen: list[FrozenTrial] = []
        self._open: set[int] = set()  # by number, those that are not finished
        self._keys: dict[int, Key] = {}  # by number
        self._new: list[FrozenTrial] = []
        self.complete: dict[Key, int] = {}
        self.n_complete = 0
        self.running: dict[int, FrozenTrial] = {}
        self.waiting: dict[int, FrozenTrial] = {}
        self._lost: dict[Key, list[FrozenTrial]] = {}
        self._failed: set[Key] = set()
        self._every = _keyed(self._encoding, assessment.every_design()) if _is_finite(assessment) else {}
        self._samples = dict(_samples(assessment, self._encoding))

    def take_in(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in what changed since the last time."""
        known = len(self._seen)
        # What is finished does not change any more.
        changed = [trials[number] for number in sorted(self._open) if trials[number] is not self._seen[number]]
        for trial in changed:
            self._seen[trial.number] = trial
        changed += trials[known:]
        self._seen += trials[known:]
        self._decode(changed)
        for trial in changed:
            self._note(trial)

    def newly_complete(self) -> list[FrozenTrial]:
        """Return the trials that have become COMPLETE since this was last asked."""
        new, self._new = self._new, []
        return new

    def key_of(self, params: Mapping[str, Any]) -> Key:
        """Return the design that parameters mean."""
        return keys_of(self._encoding.decode(columns_of([params]), n=1))[0]

    def key(self, trial: FrozenTrial) -> Key | None:
        """Return a trial's design; None where it does not tell."""
        return self._keys.get(trial.number)

    def is_taken(self, key: Key, *, before: int | None = None) -> bool:
        """Tell whether a design is COMPLETE or tried by a worker: by a trial of an earlier number, if one is given."""
        done = self.complete.get(key)
        if done is not None and (before is None or done < before):
            return True
        return any(self._keys.get(number) == key and (before is None or number < before) for number in self._tried())

    def is_tried(self, key: Key) -> bool:
        """Tell whether a worker is at a design."""
        return any(self._keys.get(number) == key for number in self._tried())

    def is_hopeless(self, key: Key) -> bool:
        """Tell whether a design could not be measured, or was given up."""
        return key in self._failed or self.n_losses(key) >= MOST_LOSSES

    @property
    def to_repeat(self) -> Iterator[tuple[FrozenTrial, Mapping[str, Any]]]:
        """The lost trials that nobody has repeated yet, with their parameters."""
        for key, lost in self._lost.items():
            if not self.is_taken(key) and not self.is_hopeless(key):
                yield lost[-1], asked_params(lost[-1])

    @property
    def samples_left(self) -> Iterator[tuple[Mapping[str, Any], str]]:
        """Measured configurations that nobody has tried, with their labels."""
        tried = {*self.complete, *self._failed, *self._lost, *(self._keys.get(n) for n in self._tried())}
        yield from (sample for key, sample in self._samples.items() if key not in tried)

    def untried(self) -> list[Mapping[str, Any]]:
        """Return the parameters of all designs that are left; none where there are infinitely many."""
        tried = {*self.complete, *(self._keys.get(number) for number in self._tried())}
        return [params for key, params in self._every.items() if key not in tried and not self.is_hopeless(key)]

    @property
    def n_tried(self) -> int:
        """How many trials workers are at."""
        return sum(1 for _ in self._tried())

    @property
    def wanted(self) -> int:
        """How many trials are to be COMPLETE in the end: those asked for, or those that try every design."""
        if self.wants_all:
            return self.n_complete + self.n_tried + len(self.untried())
        return self._assessment.study.trials

    @property
    def wants_all(self) -> bool:
        """Whether every design is to be tried."""
        return wants_all(self._assessment)

    def n_losses(self, key: Key | None) -> int:
        """Return how many workers were lost over a design; those that were stopped do not count."""
        lost = self._lost.get(key, ()) if key is not None else ()
        return sum(trial.system_attrs[LOST_ATTR] != STOPPED for trial in lost)

    @property
    def is_finite(self) -> bool:
        """Whether all designs can be listed."""
        return bool(self._every)

    def n_before(self, number: int) -> int:
        """Return how many trials of earlier numbers are COMPLETE or tried."""
        done = sum(1 for t in self._seen[:number] if t.state == TrialState.COMPLETE and t.number in self._keys)
        return done + sum(1 for other in self._tried() if other < number)

    def _tried(self) -> Iterator[int]:
        """Yield the numbers of the trials that workers are at; plain Optuna's are not ours to wait for."""
        return (number for number, trial in self.running.items() if mark_of(trial) is not None)

    def _decode(self, trials: Sequence[FrozenTrial]) -> None:
        asked = [(trial.number, params) for trial in trials if self._names <= (params := asked_params(trial)).keys()]
        if asked:
            params = columns_of([{name: params[name] for name in self._names} for _, params in asked])
            keys = keys_of(self._encoding.decode(params, n=len(asked)))
            self._keys.update(zip((number for number, _ in asked), keys, strict=True))

    def _note(self, trial: FrozenTrial) -> None:
        number, key = trial.number, self._keys.get(trial.number)
        (self._open.discard if trial.state.is_finished() else self._open.add)(number)
        self.running.pop(number, None)
        self.waiting.pop(number, None)
        if trial.state == TrialState.RUNNING:
            self.running[number] = trial
        elif trial.state == TrialState.WAITING:
            self.waiting[number] = trial
        elif trial.state == TrialState.COMPLETE and key is not None:  # without a design, somebody added it by hand
            self.n_complete += 1
            self._new.append(trial)
            self.complete.setdefault(key, number)
        elif key is not None and FAILED_ATTR in trial.user_attrs:
            self._failed.add(key)
        elif key is not None and LOST_ATTR in trial.system_attrs:
            self._lost.setdefault(key, []).append(trial)


def asked_params(trial: FrozenTrial) -> Mapping[str, Any]:
    """Return a trial's parameters, those that somebody fixed for it before it began included."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _is_finite(assessment: Assessment) -> bool:
    return assessment.n_designs <= max(_MOST_LISTED, assessment.study.trials)


def _keyed(encoding: Encoding, designs: Columns) -> dict[Key, Mapping[str, Any]]:
    params = rows_of(encoding.encode(designs)) or [{}] * n_rows(designs)
    return dict(zip(keys_of(designs), params, strict=True))


def _samples(assessment: Assessment, encoding: Encoding) -> Iterator[tuple[Key, tuple[Mapping[str, Any], str]]]:
    designs, labels = measured_designs(assessment)
    if designs:
        params = rows_of(encoding.encode(designs)) or [{}] * n_rows(designs)
        yield from zip(keys_of(designs), zip(params, labels, strict=True), strict=True)
