"""A process that records blocks, for tests that run several of them or kill one.

recorder.py STORAGE STUDY TOKEN N_BLOCKS N_TRIALS; it prints the number of each block's first trial when it is stored.
"""

import datetime
import sys
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import FloatDistribution

from explorer.search.bulk import Block, record
from explorer.search.storage import open_storage


def main(url: str, name: str, token: str, n_blocks: int, n_trials: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=name, storage=open_storage(url, Path()))
    rng = np.random.default_rng()
    for i in range(n_blocks):
        x, moment = rng.random((2, n_trials)), datetime.datetime.now(datetime.UTC)
        block = Block(
            params={"a": x[0].tolist(), "b": x[1].tolist()},
            distributions={"a": FloatDistribution(0, 1), "b": FloatDistribution(0, 1)},
            values=x.T,
            constraints={"c": x[0] - x[1]},
            user_attrs={"a": x[0].tolist(), "recorder": [token] * n_trials, "block": [i] * n_trials},
            system_attrs={"b": x[1].tolist()},
            began=moment,
            ended=moment,
        )
        recorded = record(study, block)
        assert not recorded.note, recorded.note
        print(recorded.numbers[0], flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
