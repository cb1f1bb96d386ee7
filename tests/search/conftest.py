"""Studies small enough to run in a test, and a way to run them at a storage of one's choice."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from explorer.models.assessment import Assessment, assessment_of
from explorer.models.samples import paper_samples
from explorer.models.surrogate import Surrogate, fit_surrogate
from explorer.problem.study import load_study
from explorer.search.begin import Run, prepare

TABLE = """\
family = "CNN"
[axes]
pruning_ratio = { range = [0.0, 0.95] }
quant_step = { value = 0.03 }
[operating_points]
points = [{ voltage = 0.85, frequency = 2.1 }, { voltage = 0.9, frequency = 2.3 }, { voltage = 1.0, frequency = 2.5 }]
"""
# No sample has this step: a search of it begins with nothing measured.
UNMEASURED = """\
family = "CNN"
[axes]
pruning_ratio = { range = [0.0, 0.95] }
quant_step = { value = 0.04 }
voltage = { range = [0.5, 1.3] }
frequency = { range = [0.5, 4.0] }
"""
QUESTIONS = {
    "cnn": 'space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n',
    "capped": 'space = "cnn"\nobjectives = ["edp_js", "accuracy"]\nconstraints = ["power_w <= 22 W"]\n',
    "three": 'space = "cnn"\nobjectives = ["energy_j", "latency_s", "accuracy"]\n',
    "four": 'space = "cnn"\nobjectives = ["energy_j", "latency_s", "accuracy", "size_bytes"]\n',
    "union": 'space = ["cnn", "dnn", "rnn", "transformer"]\nobjectives = ["edp_js", "accuracy"]\n',
    "table": 'space = "./points.toml"\nobjectives = ["edp_js", "accuracy"]\n',
    "new": 'space = "./unmeasured.toml"\nobjectives = ["edp_js", "accuracy"]\n',
    "mixed": 'space = ["./points.toml", "dnn"]\nobjectives = ["edp_js", "accuracy"]\n',
}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory where the system offers one: a journal is synced to its disk at every write."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder inside it is private and has a random name
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def model() -> Surrogate:
    return fit_surrogate(paper_samples(), name="paper")


@pytest.fixture
def assessment(tmp_path: Path, model: Surrogate) -> Callable[..., Assessment]:
    """Return a question by name with its model, for so many trials by a sampler."""

    def build(question: str, *, trials: int = 30, seed: int = 0, sampler: str = "random") -> Assessment:
        (tmp_path / "points.toml").write_text(TABLE, encoding="utf-8")
        (tmp_path / "unmeasured.toml").write_text(UNMEASURED, encoding="utf-8")
        path = tmp_path / f"{question}.toml"
        path.write_text(QUESTIONS[question], encoding="utf-8")
        study = load_study(str(path)).with_search(trials=trials, seed=seed, sampler=sampler)
        return assessment_of(study, model)

    return build


@pytest.fixture
def make_run(tmp_path: Path, assessment: Callable[..., Assessment]) -> Callable[..., Run]:
    """Prepare a question at a storage: a journal in a folder, or a URL."""

    def build(
        question: str = "cnn",
        *,
        trials: int = 30,
        seed: int = 0,
        sampler: str = "random",
        folder: str = "out",
        url: str | None = None,
    ) -> Run:
        asked = assessment(question, trials=trials, seed=seed, sampler=sampler)
        return prepare(asked, out=tmp_path / folder, storage_url=url)

    return build
