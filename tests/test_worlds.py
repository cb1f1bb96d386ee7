"""Known answers of the judge of labels and of the independent posteriors, and the worlds against their files."""

from collections.abc import Mapping
from pathlib import Path

import moocore
import numpy as np
import pandas as pd
import pytest

from tests.energy_forms import FORMS, coverage, energy_posterior
from tests.worlds import WORLDS, Verdict, inner_optimum, is_beaten, judge, minimized, two_clusters

CASES = Path(__file__).parent / "cases" / "models"
KNOBS = ["family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz", "latency_s", "energy_j"]


def labelled(name: str, *, is_right: bool) -> Verdict:
    """Judge a study that knows the truth: its labels are all right or all wrong, its intervals hold it or miss it."""
    world = WORLDS[name](0)
    rng = np.random.default_rng(0)
    grid = pd.DataFrame(world.grid())
    frame = grid.iloc[np.sort(rng.choice(len(grid), min(200, len(grid)), replace=False))].reset_index(drop=True)
    if "family" not in frame:
        frame["family"] = "network"
    everywhere = minimized(world.truth(world.grid()), world.objectives)
    front = everywhere[np.asarray(moocore.is_nondominated(everywhere), dtype=bool)]
    margin = 0.03 * np.ptp(front, axis=0)
    true = world.truth({k: frame[k].to_numpy() for k in frame})
    values = minimized(true, world.objectives)
    is_near = ~is_beaten(values, front, 0 * margin)
    is_far = is_beaten(values, front, margin) & is_beaten(values, values, 1e-12 + 0 * margin)
    names = ("sure", "dominated") if is_right else ("dominated", "sure")
    frame["certainty"] = np.where(is_near, names[0], np.where(is_far, names[1], "possible"))
    for target, column in true.items():
        half = 0.01 if is_right else -0.01
        frame[target], frame[f"{target}_lo"], frame[f"{target}_hi"] = column, column * (1 - half), column * (1 + half)
    return judge(frame, np.asarray(moocore.is_nondominated(values), dtype=bool), world)


@pytest.mark.parametrize("name", WORLDS)
def test_labels_from_the_truth_are_judged_right(name: str) -> None:
    verdict = labelled(name, is_right=True)

    assert verdict.n_dominated > 20 or name == "sweep"
    assert verdict.right_sure == verdict.n_sure
    assert verdict.right_dominated == verdict.n_dominated
    assert verdict.covered == verdict.n_bounded > 0


@pytest.mark.parametrize("name", WORLDS)
def test_interchanged_labels_are_judged_wrong(name: str) -> None:
    verdict = labelled(name, is_right=False)

    assert verdict.n_sure > 20 or name == "sweep"
    assert verdict.right_sure == 0
    assert verdict.exactly_dominated == 0
    assert verdict.covered == 0


def test_the_margin_of_the_judge_by_hand() -> None:
    """A rival better by 0.02 and 0.005: beyond a margin of 0.01 in one objective only."""
    design, rival = np.array([[0.5, 0.5]]), np.array([[0.48, 0.495]])

    assert not is_beaten(design, rival, np.full(2, 0.01)).any()
    assert is_beaten(design, rival, np.full(2, 0.004)).all()
    assert is_beaten(design, np.array([[0.48, 0.505]]), np.full(2, -0.01)).all()
    assert not is_beaten(design, np.array([[0.48, 0.52]]), np.full(2, -0.01)).any()
    assert not is_beaten(design, design, np.full(2, -0.01)).any()


def test_inner_optimum_is_the_world_of_its_file() -> None:
    truth = pd.read_csv(CASES / "nonmonotone9_truth.csv")
    true = inner_optimum(0).truth({"frequency_hz": truth["frequency_hz"].to_numpy()})
    rows = pd.read_csv(CASES / "nonmonotone9.csv")
    measured = inner_optimum(0).truth({"frequency_hz": rows["frequency_hz"].to_numpy()})

    for target in ("energy_j", "latency_s"):
        np.testing.assert_allclose(true[target], truth[target], rtol=1e-9)
        assert np.std(np.log(rows[target] / measured[target])) == pytest.approx(0.01, abs=0.006)


def test_two_clusters_is_near_its_file() -> None:
    truth = pd.read_csv(CASES / "two_clusters_truth.csv")
    true = two_clusters(0).truth({k: truth[k].to_numpy() for k in ("pruning_ratio", "batch")})["energy_j"]

    assert np.abs(np.log(true / truth["true_energy_j"])).max() <= 0.2


@pytest.fixture(scope="module")
def paper_rows() -> pd.DataFrame:
    from explorer.models.samples.samples import paper_samples

    columns: Mapping[str, np.ndarray] = paper_samples().columns  # type: ignore[type-arg]
    return pd.DataFrame({name: columns[name] for name in KNOBS})


@pytest.mark.slow
def test_evidence_of_the_energy_forms(paper_rows: pd.DataFrame) -> None:
    """Log Bayes factors against the first form, from an independent importance sampler; 0.15 is its error."""
    evidence = {name: energy_posterior(form, paper_rows, n=10).log_evidence for name, form in FORMS.items()}
    first = evidence["fixed : V^2 rq and leakage V T"]

    for name, factor in (
        ("fixed : V^2", -0.37),
        ("V^2", -0.68),
        ("V^beta", -0.54),
        ("fixed : rq", 0.75),
        ("V^2 (rq)^g", -3.95),
    ):
        assert evidence[name] - first == pytest.approx(factor, abs=0.15), name


@pytest.mark.slow
def test_a_form_covers_its_own_intervals(paper_rows: pd.DataFrame) -> None:
    posterior = energy_posterior(FORMS["V^beta"], paper_rows, n=4_000)
    designs = paper_rows.copy()
    designs["energy_j_lo"], designs["energy_j_hi"] = np.quantile(
        posterior.energy(designs, seed=3), [0.05, 0.95], axis=0
    )

    assert coverage(designs, posterior) == pytest.approx(0.9, abs=0.01)
