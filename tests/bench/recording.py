"""CPU time of recording trials, and ratios within one run: `python tests/bench/recording.py [--whole] [N ...]`.

A trial has four parameters, two objectives, twelve attributes and two constraints. The output is CPU microseconds per
trial for each method. Optuna's methods are timed on the first 200 trials unless --whole is given: more trials take
minutes, and the time per trial does not decrease. The script first checks that all methods give equal studies.
"""

import argparse
import datetime
import gc
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
N_OPTUNA = 200


def random_batch(n: int) -> TrialBatch:
    """Return a batch of n random trials."""
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
    """Record with `study.optimize`; a sampler returns the given parameters."""

    def objective(trial: Trial) -> tuple[float, ...]:
        i = trial.number
        for name in PARAMS:
            trial.suggest_float(name, 0, 1)
        for name, column in block.user_attrs.items():
            trial.set_user_attr(name, column[i])
        for name, values in block.constraints.items():
            trial.set_constraint(name, float(values[i]))
        return tuple(block.values[i].tolist())

    study.sampler = _FixedSampler(block)
    study.optimize(objective, n_trials=block.n)


def add_trials(study: optuna.Study, block: TrialBatch) -> None:
    """Record with `study.add_trials`."""
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


def bulk_insert(study: optuna.Study, block: TrialBatch) -> None:
    """Record with explorer's bulk insert."""
    assert not insert_trials(study, block).note


class _FixedSampler(optuna.samplers.RandomSampler):
    """Sampler of the parameters of a batch, at negligible cost."""

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


METHODS: dict[str, Callable[[optuna.Study, TrialBatch], None]] = {
    "study.optimize": optimize, "study.add_trials": add_trials, "explorer": bulk_insert,
}  # fmt: skip
STORAGES: dict[str, Callable[[Path], str]] = {
    "journal": lambda folder: f"{folder}/study.journal", "SQLite": lambda folder: f"sqlite:///{folder}/study.db",
}  # fmt: skip


def open_with_optuna(url: str) -> JournalStorage | str:
    """Open a storage with Optuna only."""
    return url if "://" in url else JournalStorage(JournalFileBackend(url, lock_obj=JournalFileOpenLock(url)))


def _nothing(study: optuna.Study, block: TrialBatch) -> None:
    """Record nothing."""


def timed(work: Callable[[], object], n: int) -> float:
    """Return CPU microseconds per trial."""
    gc.collect()
    began = time.process_time()
    work()
    return (time.process_time() - began) / n * 1e6


def contents(study: optuna.Study) -> list[tuple[object, ...]]:
    """Return the contents of the trials of a study, without their times."""
    return [
        (t.number, t.state, t.values, t.params, t.distributions, t.user_attrs, t.constraints,
         {k for k in t.system_attrs if k != BATCH_ATTR})
        for t in study.get_trials(deepcopy=False)
    ]  # fmt: skip


def check_equal(block: TrialBatch) -> None:
    """Check that every method gives the same study, as read by Optuna."""
    with tempfile.TemporaryDirectory() as folder:
        studies = [_new("memory", optimize, block, InMemoryStorage())]
        for storage_name, url in STORAGES.items():
            for method, work in METHODS.items():
                target = Path(folder) / storage_name / method
                target.mkdir(parents=True)
                _new("study", work, block, open_storage(url(target), target))
                studies.append(optuna.load_study(study_name="study", storage=open_with_optuna(url(target))))
        assert all(contents(study) == contents(studies[0]) for study in studies)


def _new(
    name: str, work: Callable[[optuna.Study, TrialBatch], None], block: TrialBatch, storage: object
) -> optuna.Study:
    study = optuna.create_study(study_name=name, storage=storage, directions=["minimize"] * 2)  # type: ignore[arg-type]
    work(study, block)
    return study


def _read(storage: BaseStorage | str) -> None:
    optuna.load_study(study_name="study", storage=storage).get_trials(deepcopy=False)


def main(sizes: list[int], *, is_whole: bool) -> None:
    """Print one line per storage, number of trials and method."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    check_equal(random_batch(30))
    print(f"{'storage':8} {'trials':>7} {'method':17} {'us/trial':>9} {'ratio':>7}   to read them")
    for n in sizes:
        for storage_name, url in STORAGES.items():
            spent: dict[str, float] = {}
            for method, work in reversed(METHODS.items()):
                m = n if is_whole or work is bulk_insert else min(n, N_OPTUNA)
                block = random_batch(m)
                with tempfile.TemporaryDirectory() as folder:
                    address = url(Path(folder))
                    study = _new("study", _nothing, block, open_storage(address, Path(folder)))
                    spent[method] = timed(lambda s=study, b=block, w=work: w(s, b), m)
                    back = timed(lambda a=address: _read(open_with_optuna(a)), m)
                ratio = f"{spent[method] / spent['explorer']:6.0f}x"
                note = f"{back * m / 1e6:9.2f} s" if work is bulk_insert else ""
                print(f"{storage_name:8} {m:7} {method:17} {spent[method]:9.0f} {ratio}   {note}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[1_000, 10_000], help="numbers of trials")
    parser.add_argument("--whole", action="store_true", help="time all trials with Optuna's methods as well")
    args = parser.parse_args()
    main(sorted(set(args.sizes)), is_whole=args.whole)
