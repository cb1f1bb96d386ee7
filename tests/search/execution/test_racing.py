"""Racing in live studies: the same front as with every sample, for fewer samples, alone and with workers."""

from collections.abc import Callable

import pytest

import explorer
from explorer.api.studies import Outcome
from explorer.pareto.acquisition.racing_rule import TOLERANCE

pytestmark = pytest.mark.slow

# Random designs do not depend on measured values: raced and full searches try the same ones.
STUDY = """space = "measured"
model = {{ onnx = "digits-mlp", data = "digits"{more} }}
objectives = ["size_bytes", "accuracy"]
constraints = [{limits}]
[search]
trials = {trials}
sampler = "random"
[reference_point]
size_bytes = 20000
accuracy = 0.5
"""
Search = Callable[..., Outcome]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    """Return a function that runs a study in a folder of this module."""
    folder = tmp_path_factory.mktemp("racing")

    def run(name: str, *, more: str = "", limits: str = "", trials: int = 20, **options: object) -> Outcome:
        path = folder / f"{name}.toml"
        path.write_text(STUDY.format(more=more, limits=limits, trials=trials), encoding="utf-8")
        return explorer.run(str(path), out=folder / name, **options)  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="module")
def raced(search: Search) -> Outcome:
    return search("raced")


@pytest.fixture(scope="module")
def full(search: Search) -> Outcome:
    return search("full", more=", racing = false")


def test_raced_search_has_the_front_of_the_full_one_for_fewer_samples(raced: Outcome, full: Outcome) -> None:
    table, whole = raced.results.table, full.results.table

    assert table["pruning_ratio"].tolist() == whole["pruning_ratio"].tolist()
    assert raced.results.hypervolume >= (1 - TOLERANCE) * full.results.hypervolume
    assert table["n_samples"].sum() < 0.75 * 719 * len(table["n_samples"])
    is_full = table["is_stopped"] == 0
    assert table["accuracy"][is_full].tolist() == whole["accuracy"][is_full].tolist()
    assert (whole["accuracy"] <= table["accuracy_hi"])[~is_full].all()
    assert (whole["accuracy"] >= table["accuracy_lo"])[~is_full].all()


def test_a_stopped_design_is_never_on_the_front(raced: Outcome) -> None:
    table = raced.results.table

    assert (table["is_stopped"] > 0).any()
    assert not table["is_feasible"][table["is_stopped"] > 0].any()
    assert any("samples were run" in note for note in raced.results.notes)


def test_a_limit_stops_designs_and_none_of_them_would_meet_it(search: Search, full: Outcome) -> None:
    limited = search("limited", limits='"accuracy >= 0.96"').results.table
    is_stopped = limited["is_stopped"] > 0

    # A stopped design misses the limit, or adds too little to the front.
    feasible = full.results.table["accuracy"] >= 0.96
    assert limited["n_samples"].sum() < 0.6 * 719 * len(is_stopped)
    assert (feasible & ~is_stopped).sum() >= 1
    assert (~feasible & is_stopped).sum() >= 5


def test_workers_and_a_resumed_search_race_as_well(search: Search, full: Outcome) -> None:
    first = search("resumed", trials=8, workers=2)
    again = search("resumed", trials=20, workers=2)
    table = again.results.table

    assert first.n_added == 8
    assert again.n_added == 12
    assert table["n_samples"].sum() < 0.85 * 719 * 20
    assert again.results.hypervolume >= (1 - TOLERANCE) * full.results.hypervolume


def test_stopped_designs_are_not_taken_over_by_another_study(search: Search, raced: Outcome) -> None:
    n_stopped = int((raced.results.table["is_stopped"] > 0).sum())
    other = search("other", limits='"accuracy >= 0.7"', take_from=raced.out)

    assert other.n_taken_over == 20 - n_stopped
