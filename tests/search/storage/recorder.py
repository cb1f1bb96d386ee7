"""Process that records batches, for tests with concurrent or killed writers.

recorder.py STORAGE STUDY TOKEN N_BATCHES N_TRIALS; it prints the number of each batch's first trial when it is stored.
"""

import datetime
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import FloatDistribution

from explorer.search.storage.bulk import TrialBatch, insert_trials
from explorer.search.storage.open import open_storage


def batch_of(n: int, *, seed: int = 0) -> TrialBatch:
    """Return a batch of n trials with two parameters, two objectives and a constraint."""
    x, moment = np.random.default_rng(seed).random((2, n)), datetime.datetime.now(datetime.UTC)
    a, b = x.tolist()
    return TrialBatch(
        params={"a": a, "b": b},
        distributions={"a": FloatDistribution(0, 1), "b": FloatDistribution(0, 1)},
        values=x.T,
        constraints={"c": x[0] - 0.7},
        user_attrs={"a": a},
        system_attrs={"b": b},
        began=moment,
        ended=moment,
    )


def main(url: str, name: str, token: str, n_batches: int, n_trials: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=name, storage=open_storage(url, Path()))
    for i in range(n_batches):
        batch = batch_of(n_trials, seed=i)
        marks = {"recorder": [token] * n_trials, "batch": [i] * n_trials}
        recorded = insert_trials(study, replace(batch, user_attrs={**batch.user_attrs, **marks}))
        assert not recorded.note, recorded.note
        print(recorded.numbers[0], flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
