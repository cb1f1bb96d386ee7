"""Small studies for tests, in a storage chosen by the test."""

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from explorer.models.evaluation import Problem, make_problem
from explorer.models.response.surrogate import Surrogate
from explorer.problem.study import read_study
from explorer.search.session import SearchSession, open_session
from tests.paper_fit import paper_model

MakeSession = Callable[..., SearchSession]
MakeProblem = Callable[..., Problem]
TABLE = """\
family = "CNN"
[axes]
pruning_ratio = { range = [0.0, 0.95] }
quant_step = { value = 0.03 }
[operating_points]
points = [{ voltage = 0.85, frequency = 2.1 }, { voltage = 0.9, frequency = 2.3 }, { voltage = 1.0, frequency = 2.5 }]
"""
# No sample has this quantization step: a search starts without an initial design.
UNMEASURED = """\
family = "CNN"
[axes]
pruning_ratio = { range = [0.0, 0.95] }
quant_step = { value = 0.04 }
voltage = { range = [0.5, 1.3] }
frequency = { range = [0.5, 4.0] }
"""
TWO = 'objectives = ["edp_js", "accuracy"]\n'
STUDIES = {
    "cnn": f'space = "cnn"\n{TWO}',
    "capped": f'space = "cnn"\n{TWO}constraints = ["power_w <= 22 W"]\n',
    "three": 'space = "cnn"\nobjectives = ["energy_j", "latency_s", "accuracy"]\n',
    "union": f'space = ["cnn", "dnn", "rnn", "transformer"]\n{TWO}',
    "table": f'space = "./points.toml"\n{TWO}',
    "new": f'space = "./unmeasured.toml"\n{TWO}',
    "mixed": f'space = ["./points.toml", "dnn"]\n{TWO}',
}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Folder in memory if possible: a journal is synced to disk at writes."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder inside it is private and has a random name
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Make SIGINT raise KeyboardInterrupt, even if pytest ignores it or a library has replaced its handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def model() -> Surrogate:
    return paper_model()


@pytest.fixture
def problem(tmp_path: Path, model: Surrogate) -> Callable[..., Problem]:
    """Return a builder of a study by name, with its model, trials, seed and sampler."""

    def build(name: str, *, trials: int = 30, seed: int = 0, sampler: str = "random") -> Problem:
        (tmp_path / "points.toml").write_text(TABLE, encoding="utf-8")
        (tmp_path / "unmeasured.toml").write_text(UNMEASURED, encoding="utf-8")
        path = tmp_path / f"{name}.toml"
        path.write_text(STUDIES[name], encoding="utf-8")
        return make_problem(read_study(str(path)).with_search(trials=trials, seed=seed, sampler=sampler), model)

    return build


@pytest.fixture
def make_session(tmp_path: Path, problem: Callable[..., Problem]) -> MakeSession:
    """Return a builder of a session in a journal or at a storage URL."""

    def build(name: str = "cnn", *, folder: str = "out", url: str | None = None, **search: Any) -> SearchSession:
        return open_session(problem(name, **search), out=tmp_path / folder, storage_url=url)

    return build


def designs_of(table: Any, *names: str) -> list[tuple[Any, ...]]:
    """Return the knobs of each design of a table."""
    names = names or ("family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
    return list(zip(*[table[name].tolist() for name in names], strict=True))
