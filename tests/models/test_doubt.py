"""Labels and intervals against the truth of synthetic worlds, and against other functional forms of the paper's energy.

Bars: 95 % of the labels are right (of few labels, all but one); 90 % intervals hold 85 % of the measurements that
another form predicts. More repetitions, and the cost of large fits: `tests/bench/doubt.py`.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import explorer
from explorer.api.models import fit_model, load_model
from explorer.models.intervals import add_intervals
from explorer.models.posterior_draws import posterior_draws, predict_draws
from explorer.problem.objectives import Constants
from tests.energy_forms import FORMS, coverage, energy_posterior
from tests.worlds import WORLDS, search_world

KNOBS = ["family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz"]
N_TABLES = 4
_DEAR = {"memory_bound": 2}  # three objectives: its tables take five times the time of others

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", WORLDS)
def test_labels_and_intervals_agree_with_the_truth_of_a_world(tmp_path: Path, name: str) -> None:
    """Of the labels at most one in twenty is wrong (of few, one); intervals of front designs cover the true values."""
    verdicts = [
        search_world(WORLDS[name](seed), tmp_path / str(seed), seed=seed) for seed in range(_DEAR.get(name, N_TABLES))
    ]
    verdict = sum(verdicts[1:], verdicts[0])

    assert verdict.n_sure - verdict.right_sure <= max(1, 0.05 * verdict.n_sure), verdict
    assert verdict.n_dominated - verdict.right_dominated <= max(1, 0.05 * verdict.n_dominated), verdict
    assert verdict.covered >= 0.85 * verdict.n_bounded, verdict


@pytest.fixture(scope="module")
def paper_front(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], pd.DataFrame]:
    @cache
    def front(study: str) -> pd.DataFrame:
        return explorer.run(study, out=tmp_path_factory.mktemp(study)).results.front()

    return front


@pytest.fixture(scope="module")
def paper_rows() -> pd.DataFrame:
    columns = load_model("paper").samples.columns
    return pd.DataFrame({k: columns[k] for k in (*KNOBS, "latency_s", "energy_j")})


# The form of the model that each independent form is left out as.
LEFT_OUT: Mapping[str, str] = dict(
    zip(
        FORMS,
        (
            "switched and leaked", "fixed and voltage", "voltage", "voltage power", "fixed and compressed",
            "fixed, compressed, voltage", "fixed, static, switched, voltage", "switched power",
        ),
        strict=True,
    )
)  # fmt: skip
_WORST = pytest.mark.xfail(
    strict=True, reason="0.81 instead of 0.85: the ten rows speak against v^2 (rq)^g by a log Bayes factor of 4 to 7"
)


@pytest.mark.parametrize(
    ("study", "form"),
    [
        pytest.param(s, f, marks=[_WORST] if (s, f) == ("paper", "V^2 (rq)^g") else [])
        for s in ("edp-accuracy", "paper")
        for f in FORMS
    ],
)
def test_intervals_cover_energy_of_a_form_that_was_left_out(
    paper_front: Callable[[str], pd.DataFrame], paper_rows: pd.DataFrame, study: str, form: str
) -> None:
    model = fit_model("paper", without=[LEFT_OUT[form]])
    front = paper_front(study)
    front = front[front["origin"] != "sample"].copy()
    columns = {k: front[k].to_numpy(dtype=object if k == "family" else float) for k in KNOBS}
    bounded = add_intervals(model.evaluate(columns), model=model, draws=posterior_draws(model), constants=Constants())
    front["energy_j_lo"], front["energy_j_hi"] = bounded["energy_j_lo"], bounded["energy_j_hi"]

    assert coverage(front, energy_posterior(FORMS[form], paper_rows)) >= 0.85


def test_intervals_hold_nine_tenths_of_many_draws() -> None:
    model = load_model("paper")
    rows = model.samples.columns
    rng = np.random.default_rng(0)
    cnn = {k: rows[k][rows["family"] == "CNN"] for k in KNOBS[1:]}
    designs = pd.DataFrame({"family": "CNN", **{k: rng.uniform(v.min(), v.max(), 60) for k, v in cnn.items()}})
    predicted = explorer.predict("paper", designs)
    columns = {k: designs[k].to_numpy(dtype=object if k == "family" else float) for k in designs}
    draws = predict_draws(model, posterior_draws(model, n=20_000, seed=1), columns, with_noise=True)

    for target in model.targets:
        low, high = predicted[f"{target}_lo"].to_numpy(), predicted[f"{target}_hi"].to_numpy()
        share = np.mean((low <= draws[target]) & (draws[target] <= high), axis=0)
        assert 0.89 <= share.mean() <= 0.91, target
        assert np.mean((share >= 0.88) & (share <= 0.92)) >= 0.95, target


# Leave-one-out figures of the release before: mean absolute for accuracy, mean relative for all others.
RELEASED: Mapping[str, float] = {
    "accuracy": 0.00256, "latency_s": 0.0668, "energy_j": 0.0298, "power_w": 0.0462, "size_bytes": 0.0383,
    "edp_js": 0.0726,
}  # fmt: skip


def test_leave_one_out_errors_of_the_paper_stay_within_a_tenth() -> None:
    targets = explorer.fit("paper").summary["targets"]

    for target, released in RELEASED.items():
        error = targets[target]["loo_mae" if target == "accuracy" else "loo_mape"]
        assert error <= 1.1 * released, f"{target}: {error:.4f}"


# Median half widths of the release before, on the same splits; relative, and absolute for accuracy.
H100_HALF_WIDTHS = {"latency_s": 0.1914, "energy_j": 0.2597, "power_w": 0.1619}


def test_intervals_cover_random_splits_of_the_h100_rows() -> None:
    """Trained on 60 % of the rows, three times."""
    frame = pd.read_csv(Path(explorer.__file__).parent / "models" / "h100_energy.csv")
    knobs = ["family", "pruning_ratio", "precision", "batch_size"]
    inside: dict[str, list[float]] = {t: [] for t in H100_HALF_WIDTHS}
    half: dict[str, list[float]] = {t: [] for t in H100_HALF_WIDTHS}
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(frame))
        train, test = frame.iloc[order[:101]], frame.iloc[order[101:]]
        fitted = explorer.fit(train, knobs=["precision", "batch_size"], ignore=["weight_bits", "frequency_hz"])
        predicted = fitted.predict(test[knobs].reset_index(drop=True))
        for target in H100_HALF_WIDTHS:
            truth = test[target].to_numpy()
            low, high = predicted[f"{target}_lo"].to_numpy(), predicted[f"{target}_hi"].to_numpy()
            inside[target] += ((low <= truth) & (truth <= high)).tolist()
            half[target] += ((high - low) / 2 / truth).tolist()

    for target, released in H100_HALF_WIDTHS.items():
        assert 0.85 <= np.mean(inside[target]) <= 0.97, target
        assert np.median(half[target]) <= 1.1 * released, target
