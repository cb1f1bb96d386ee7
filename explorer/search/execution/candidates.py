"""CandidateSource of a measured study: enqueued designs, the rest of a finite space, or proposals of the sampler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from explorer.problem.columns import Columns, n_rows
from explorer.search.encoding import Encoding, columns_of, rows_of
from explorer.search.enqueued import fault_of, fill_params, is_enqueued, params_of
from explorer.search.samplers.learning_sampler import LearningSampler
from explorer.search.samplers.mirror import StudyMirror
from explorer.search.samplers.registry import LEARNING, derive_seed, is_full_factorial, make_sampler, sampler_name
from explorer.search.session import FAILED_ATTR, SearchSession
from explorer.search.trial_table import design_keys

_MAX_REDRAWS = 16
_MAX_LISTED = 10_000

Key = tuple[Any, ...]
"""Knobs of a design."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Design to be measured.

    Args:
        params: its Optuna parameters.
        design: its knobs, shape (1,) each.
        key: its knobs as a tuple.
        trial: its RUNNING trial in the mirror; None without a sampler.
        enqueued: its stored trial, if it was enqueued.
    """

    params: Mapping[str, Any]
    design: Columns
    key: Key
    trial: Trial | None = None
    enqueued: FrozenTrial | None = None


class CandidateSource:
    """Source of the next designs of a study, with the sets of complete, in-flight and failed designs.

    Args:
        session: the study in its storage.
        is_parallel: several designs are measured at a time: TPE then uses the constant liar for those in flight.
    """

    def __init__(self, session: SearchSession, *, is_parallel: bool) -> None:
        self._problem = session.problem
        self._encoding = Encoding(session.problem.regions)
        self.distributions = self._encoding.distributions()
        self.complete: set[Key] = set(design_keys(session.trials.table))
        self.in_flight: set[Key] = set()
        self.n_complete = session.trials.n
        stored = session.study.get_trials(deepcopy=False)
        self.failed = self._failed_keys(stored)
        self._enqueued = [t for t in stored if is_enqueued(t) and not fault_of(t, self._encoding)]
        self._all_designs = self._list_designs()
        seed = session.problem.study.seed
        self._sampler = _make_sampler(session, is_parallel=is_parallel)
        self._mirror = StudyMirror(self._sampler, session.study, self.distributions)
        self._random = StudyMirror(
            RandomSampler(seed=derive_seed(seed, done=self.n_complete)), None, self.distributions
        )

    @property
    def n_requested(self) -> int:
        """Number of COMPLETE trials at which the search ends: the requested number, or that of a finite space."""
        if is_full_factorial(self._problem):
            return self.n_complete + len(self.in_flight) + len(self._remaining())
        return self._problem.study.trials

    def next(self, n: int) -> list[Candidate]:
        """Return at most n designs and mark them as in flight; none if no more are left."""
        candidates: list[Candidate] = []
        while self._enqueued and len(candidates) < n:
            candidates += self._next_enqueued(self._enqueued.pop(0))
        n = min(n - len(candidates), self.n_requested - self.n_complete - len(self.in_flight))
        if n <= 0:
            return candidates
        if is_full_factorial(self._problem):
            return candidates + [self._mark_in_flight(self.candidate(params)) for params in self._remaining()[:n]]
        if isinstance(self._sampler, LearningSampler):
            self._sampler.expect(n)
        for _ in range(n):
            candidate = self._propose()
            if candidate is None:
                break
            candidates.append(self._mark_in_flight(candidate))
        return candidates

    def candidate(self, params: Mapping[str, Any], *, trial: Trial | None = None) -> Candidate:
        """Return the candidate with these parameters."""
        design = self._encoding.decode(columns_of([params]), n=1)
        return Candidate(params, design, design_keys(design)[0], trial)

    def from_knobs(self, knobs: Mapping[str, Any]) -> Candidate | None:
        """Return the candidate with these knobs; None if it is complete, or not exactly in the regions."""
        design = {n: np.array([v], dtype=object if isinstance(v, str) else np.float64) for n, v in knobs.items()}
        try:
            params = rows_of(self._encoding.encode(design)) or [{}]
            candidate = self.candidate(params[0])
        except (KeyError, ValueError, TypeError, IndexError):
            return None
        if candidate.key != design_keys(design)[0] or candidate.key in self.complete:
            return None
        return Candidate(candidate.params, candidate.design, candidate.key, self._mirror.enqueue(candidate.params))

    def from_params(self, params: Mapping[str, Any]) -> Candidate | None:
        """Return the candidate with these parameters; None if it is complete."""
        candidate = self.candidate(params, trial=self._mirror.enqueue(params))
        return None if candidate.key in self.complete else candidate

    def attributes_of(self, candidate: Candidate) -> dict[str, Any]:
        """Return the sampler's system attributes of a candidate's trial."""
        return self._mirror.attributes_of(candidate.trial) if candidate.trial else {}

    def tell(
        self, candidate: Candidate, values: Sequence[float], *,
        constraints: Mapping[str, float], user_attrs: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """Pass a measurement to the sampler."""
        self.in_flight.discard(candidate.key)
        self.complete.add(candidate.key)
        self.n_complete += 1
        if candidate.trial:
            self._mirror.tell(candidate.trial, values, constraints=constraints, user_attrs=user_attrs)

    def store_attributes(self) -> None:
        """Copy the sampler's attributes of the study to the storage."""
        self._mirror.store_attributes()

    @property
    def is_sampler_changed(self) -> bool:
        """Whether `store_attributes` would copy anything."""
        return self._mirror.is_changed

    def fail(self, candidate: Candidate) -> None:
        """Mark a design as failed in the sampler; it is not proposed again."""
        self.in_flight.discard(candidate.key)
        self.failed.add(candidate.key)
        if candidate.trial:
            self._mirror.fail(candidate.trial)

    def _mark_in_flight(self, candidate: Candidate) -> Candidate:
        self.in_flight.add(candidate.key)
        return candidate

    def _next_enqueued(self, stored: FrozenTrial) -> list[Candidate]:
        """Return an enqueued design, missing parameters drawn at random; none if it is in flight."""
        params = fill_params(stored, self._encoding, self._random.draw())
        candidate = self.candidate(params)
        if candidate.key in self.in_flight:
            return []  # the next run completes its trial with that measurement
        trial = self._mirror.enqueue(params)
        return [self._mark_in_flight(Candidate(params, candidate.design, candidate.key, trial, stored))]

    def _propose(self) -> Candidate | None:
        """Return a new design: from the sampler, else drawn at random, else any remaining one; None if none remains."""
        for mirror in (self._mirror, self._random):
            for _ in range(_MAX_REDRAWS):
                trial = mirror.ask()
                candidate = self.candidate(trial.params, trial=trial)
                if self._is_new(candidate.key):
                    mirrored = trial if mirror is self._mirror else self._mirror.enqueue(candidate.params)
                    return Candidate(candidate.params, candidate.design, candidate.key, mirrored)
                mirror.fail(trial)
            if self._all_designs:
                break
        remaining = self._remaining()
        return self.candidate(remaining[0], trial=self._mirror.enqueue(remaining[0])) if remaining else None

    def _remaining(self) -> list[Mapping[str, Any]]:
        return [params for key, params in self._all_designs.items() if self._is_new(key)]

    def _is_new(self, key: Key) -> bool:
        return not any(key in keys for keys in (self.complete, self.in_flight, self.failed))

    def _list_designs(self) -> dict[Key, Mapping[str, Any]]:
        """Return all designs by key; none if there are too many to list."""
        if self._problem.n_designs > max(_MAX_LISTED, self._problem.study.trials):
            return {}
        designs = self._problem.every_design()
        params = rows_of(self._encoding.encode(designs)) or [{}] * n_rows(designs)
        return dict(zip(design_keys(designs), params, strict=True))

    def _failed_keys(self, stored: Sequence[FrozenTrial]) -> set[Key]:
        names = self.distributions.keys()
        params = [
            params_of(t, self._encoding) for t in stored if t.state == TrialState.FAIL and FAILED_ATTR in t.user_attrs
        ]
        whole = [{name: one[name] for name in names} for one in params if names <= one.keys()]
        return set(design_keys(self._encoding.decode(columns_of(whole), n=len(whole))))


def _make_sampler(session: SearchSession, *, is_parallel: bool) -> BaseSampler:
    problem, study = session.problem, session.problem.study
    name = sampler_name(problem)
    if name == LEARNING:
        # One seed for all runs of a study: the stored trials decide the rest.
        return LearningSampler(problem, reference=session.reference, seed=derive_seed(study.seed, done=0))
    return make_sampler(
        name, seed=study.seed, done=session.trials.n, trials=study.trials, is_parallel=is_parallel,
        distributions=Encoding(problem.regions).distributions(),
    )  # fmt: skip
