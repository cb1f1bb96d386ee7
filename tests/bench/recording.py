"""Timings of recording, in CPU time and as ratios within one run: `python tests/bench/recording.py`.

A trial has four parameters, two objectives, twelve attributes and two constraints. Of each way of recording the same
trials it prints the microseconds of CPU a trial; Optuna's own ways are timed on the first 200 unless --whole is given:
they take minutes otherwise, and a trial does not get cheaper by their number. Before it times anything it sees that all
ways give equal studies.
"""

import datetime
import gc
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, create_trial

from explorer.search.storage.bulk import BATCH_ATTR, TrialBatch, insert_trials
from explorer.search.storage.open import open_storage

PARAMS = ("a", "b", "c", "d")
DISTRIBUTIONS: dict[str, BaseDistribution] = {name: FloatDistribution(0, 1) for name in PARAMS}
ATTRS = tuple(f"attribute_{i}" for i in range(12))
CONSTRAINTS = ("power_w <= 22 W", "accuracy >= 0.9")
OPTUNAS_OWN = 200


def block_of(n: int) -> TrialBatch:
    """Return n trials."""
    x, moment = np.random.default_rng(0).random((20, n)), datetime.datetime.now(datetime.UTC)
    return TrialBatch(
        params=dict(zip(PARAMS, x[:4].tolist(), strict=True)),
        distributions=DISTRIBUTIONS,
        values=x[4:6].T,
        constraints=dict(zip(CONSTRAINTS, x[6:8] - 0.9, strict=True)),
        user_attrs=dict(zip(ATTRS, x[8:].tolist(), strict=True)),
        system_attrs={},
        began=moment,
        ended=moment,
    )


def optimize(study: optuna.Study, block: TrialBatch) -> None:
    """Record through `study.optimize`: each trial asks for the values that are known already."""

    def objective(trial: Trial) -> tuple[float, ...]:
        i = trial.number
        for name in PARAMS:
            trial.suggest_float(name, 0, 1)
        for name, column in block.user_attrs.items():
            trial.set_user_attr(name, column[i])
        for name, values in block.constraints.items():
            trial.set_constraint(name, float(values[i]))
        return tuple(block.values[i].tolist())

    study.sampler = _Given(block)
    study.optimize(objective, n_trials=block.n)


def add_trials(study: optuna.Study, block: TrialBatch) -> None:
    """Record through `study.add_trials`."""
    study.add_trials(
        [
            create_trial(
                values=block.values[i].tolist(),
                params={name: block.params[name][i] for name in PARAMS},
                distributions=DISTRIBUTIONS,
                user_attrs={name: column[i] for name, column in block.user_attrs.items()},
                constraints={name: float(values[i]) for name, values in block.constraints.items()},
            )
            for i in range(block.n)
        ]
    )


def at_once(study: optuna.Study, block: TrialBatch) -> None:
    """Record with explorer."""
    assert not insert_trials(study, block).note


class _Given(optuna.samplers.RandomSampler):
    """A sampler at no cost: it gives the parameters of a block."""

    def __init__(self, block: TrialBatch) -> None:
        super().__init__(seed=0)
        self._block = block

    def sample_independent(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> float:
        return float(self._block.params[param_name][trial.number])


WAYS: dict[str, Callable[[optuna.Study, TrialBatch], None]] = {
    "study.optimize": optimize, "study.add_trials": add_trials, "explorer": at_once,
}  # fmt: skip
PLACES: dict[str, Callable[[Path], str]] = {
    "journal": lambda folder: f"{folder}/study.journal", "SQLite": lambda folder: f"sqlite:///{folder}/study.db",
}  # fmt: skip


def plainly(url: str) -> JournalStorage | str:
    """Open a storage as plain Optuna does."""
    return url if "://" in url else JournalStorage(JournalFileBackend(url, lock_obj=JournalFileOpenLock(url)))


def _nothing(study: optuna.Study, block: TrialBatch) -> None:
    """Record nothing."""


def timed(work: Callable[[], object], n: int) -> float:
    """Return the microseconds of CPU a trial."""
    gc.collect()
    began = time.process_time()
    work()
    return (time.process_time() - began) / n * 1e6


def held(study: optuna.Study) -> list[tuple[object, ...]]:
    """Return what a study's trials hold, but when they were made."""
    return [
        (t.number, t.state, t.values, t.params, t.distributions, t.user_attrs, t.constraints,
         {k for k in t.system_attrs if k != BATCH_ATTR})
        for t in study.get_trials(deepcopy=False)
    ]  # fmt: skip


def check_equal(block: TrialBatch) -> None:
    """See that every way gives the same study, read by plain Optuna."""
    with tempfile.TemporaryDirectory() as folder:
        studies = [_new("memory", optimize, block, InMemoryStorage())]
        for place, url in PLACES.items():
            for way, work in WAYS.items():
                own = Path(folder) / place / way
                own.mkdir(parents=True)
                _new("study", work, block, open_storage(url(own), own))
                studies.append(optuna.load_study(study_name="study", storage=plainly(url(own))))
        assert all(held(study) == held(studies[0]) for study in studies)


def _new(
    name: str, work: Callable[[optuna.Study, TrialBatch], None], block: TrialBatch, storage: object
) -> optuna.Study:
    study = optuna.create_study(study_name=name, storage=storage, directions=["minimize"] * 2)  # type: ignore[arg-type]
    work(study, block)
    return study


def _read(storage: BaseStorage | str) -> None:
    optuna.load_study(study_name="study", storage=storage).get_trials(deepcopy=False)


def main(sizes: list[int], *, is_whole: bool) -> None:
    """Print one line a storage, number of trials and way."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    check_equal(block_of(30))
    print(f"{'storage':8} {'trials':>7} {'way':17} {'us/trial':>9} {'ratio':>7}   to read them")
    for n in sizes:
        for place, url in PLACES.items():
            spent: dict[str, float] = {}
            for way, work in reversed(WAYS.items()):
                m = n if is_whole or work is at_once else min(n, OPTUNAS_OWN)
                block = block_of(m)
                with tempfile.TemporaryDirectory() as folder:
                    where = url(Path(folder))
                    study = _new("study", _nothing, block, open_storage(where, Path(folder)))
                    spent[way] = timed(lambda s=study, b=block, w=work: w(s, b), m)
                    back = timed(lambda w=where: _read(plainly(w)), m)
                ratio = f"{spent[way] / spent['explorer']:6.0f}x"
                note = f"{back * m / 1e6:9.2f} s" if work is at_once else ""
                print(f"{place:8} {m:7} {way:17} {spent[way]:9.0f} {ratio}   {note}", flush=True)


if __name__ == "__main__":
    arguments = set(sys.argv[1:])
    is_whole = "--whole" in arguments
    main(sorted(map(int, arguments - {"--whole"})) or [1_000, 10_000], is_whole=is_whole)
