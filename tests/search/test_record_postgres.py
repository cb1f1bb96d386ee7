"""Recording while the PostgreSQL server is restarted: no block is lost, none is stored twice."""

import datetime
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from explorer.search.bulk import Block, record

pytestmark = pytest.mark.xdist_group("postgresql")
HERE = Path(__file__).parent


@pytest.fixture
def study(database: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(storage=database, study_name="study", directions=["minimize"] * 2)


def block_of(n: int) -> Block:
    moment, x = datetime.datetime.now(datetime.UTC), np.linspace(0, 1, n)
    return Block(
        {"a": x.tolist()}, {"a": FloatDistribution(0, 1)}, np.stack([x, 1 - x], axis=1), {}, {}, {}, moment, moment
    )


def stored(url: str) -> list[FrozenTrial]:
    storage = RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    return optuna.load_study(study_name="study", storage=storage).trials


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_after_a_restart_the_first_call_fails_and_the_next_records_once(
    postgres: Any, database: str, study: optuna.Study, mode: str
) -> None:
    record(study, block_of(5))
    block = block_of(7)
    postgres.restart(mode)
    with pytest.raises(OperationalError):
        record(study, block)
    numbers = list(record(study, block).numbers)

    assert numbers == list(record(study, block).numbers) == list(range(5, 12))
    assert [trial.number for trial in stored(database)] == list(range(12))
    assert [trial.number for trial in study.trials] == list(range(12))


def test_a_server_that_crashes_while_blocks_come_in_keeps_each_that_was_told_of(postgres: Any, database: str) -> None:
    optuna.create_study(storage=database, study_name="study", directions=["minimize"] * 2)
    command = [sys.executable, str(HERE / "recorder.py"), database, "study", "one", "10000", "300"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE.parent.parent
    ) as recorder:
        assert recorder.stdout is not None
        told = [int(recorder.stdout.readline())]
        time.sleep(0.2)
        postgres.restart("immediate")
        rest, problem = recorder.communicate(timeout=60)
    told += [int(line) for line in rest.split()]
    trials = stored(database)
    by_block = Counter(trial.user_attrs["block"] for trial in trials)

    assert "OperationalError" in problem
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert set(by_block.values()) == {300}
    # At most one block was stored without its recorder living to hear of it.
    assert len(told) <= len(by_block) <= len(told) + 1
