"""Leave-one-out: against a reference implementation, baselines computed by hand, and cases without a prediction."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from explorer.models.parametric.functional_forms import SIZE_FORM
from explorer.models.quality.leave_one_out import CrossValidation, leave_one_out
from explorer.models.samples.samples import Samples

Row = tuple[str, float, float, float, float]


def test_size_error_matches_a_reference_implementation(samples: Samples, judged: Mapping[str, CrossValidation]) -> None:
    """The reference fits one number by scalar search over plain Python lists, with family levels as means."""
    columns = samples.columns
    names = ("family", "pruning_ratio", "quant_step", "frequency_hz", "size_bytes")
    rows: list[Row] = list(zip(*[columns[name].tolist() for name in names], strict=True))
    gaps = []
    for i, row in enumerate(rows):
        train = rows[:i] + rows[i + 1 :]
        a = _fit_by_hand(train)
        levels = [math.log(r[4]) - _effect(r, a) for r in train if r[0] == row[0]]
        gaps.append(abs(math.exp(sum(levels) / len(levels) + _effect(row, a)) - row[4]))

    assert judged["size_bytes"].model.mae == pytest.approx(sum(gaps) / len(gaps), rel=1e-5)


def test_family_mean_baseline_excludes_the_row(judged: Mapping[str, CrossValidation]) -> None:
    """RNN has accuracies 0.89 and 0.87, each predicted by the other; accuracies from Table 2."""
    table = {"CNN": [0.94, 0.93, 0.91], "DNN": [0.92, 0.90, 0.88], "RNN": [0.89, 0.87], "Transformer": [0.95, 0.93]}
    gaps = [abs(x - (sum(xs) - x) / (len(xs) - 1)) for xs in table.values() for x in xs]

    assert judged["accuracy"].family_mean.mae == pytest.approx(sum(gaps) / 10)


def test_edp_is_the_product_of_both_predictions(samples: Samples) -> None:
    """One family with two rows, so that each held-out prediction has a level from a single row."""
    judged = leave_one_out(samples.rows(samples.columns["family"] == "RNN"))

    assert judged["edp_js"].n == 2
    assert judged["edp_js"].model.mape <= judged["energy_j"].model.mape + judged["latency_s"].model.mape + 0.01


def test_family_with_one_row_is_not_scored(samples: Samples) -> None:
    one_dnn = samples.rows((samples.columns["family"] != "DNN") | (np.array(samples.labels) == "DNN1"))

    assert {target: j.n for target, j in leave_one_out(one_dnn).items()}["accuracy"] == 7


def test_no_target_is_scored_with_one_row_per_family(samples: Samples) -> None:
    firsts = samples.rows(np.array([label.endswith("1") for label in samples.labels]))

    assert leave_one_out(firsts) == {}


@pytest.mark.slow
def test_unmeasured_cell_is_not_scored(samples: Samples) -> None:
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["power_w"][:2] = np.nan
    judged = leave_one_out(Samples(columns, samples.labels, "", ""))

    # CNN3 is the only CNN row with a power, so that no row of its family predicts it.
    assert judged["power_w"].n == 7
    assert judged["energy_j"].n == 10


def test_nearest_sample_baseline_uses_measured_rows_only(samples: Samples) -> None:
    """CNN2, the nearest row of CNN1 and CNN3, has no power: they are then each other's nearest."""
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["power_w"][1] = np.nan
    cnn = Samples(columns, samples.labels, "", "").rows(columns["family"] == "CNN")

    assert leave_one_out(cnn)["power_w"].nearest_sample.mae == pytest.approx(5.0)  # 25 W and 20 W


def _effect(row: Row, a: float) -> float:
    _, pruning_ratio, step, _, _ = row
    return math.log(1 - pruning_ratio) + a * math.log(math.log2(2 / step))


def _fit_by_hand(rows: list[Row]) -> float:
    (prior,), scatter = SIZE_FORM.priors, SIZE_FORM.noise
    families = {row[0] for row in rows}

    def misfits(a: float) -> list[float]:
        residuals = {f: [math.log(r[4]) - _effect(r, a) for r in rows if r[0] == f] for f in families}
        return [x - sum(xs) / len(xs) for xs in residuals.values() for x in xs]

    noise, u = scatter.value, math.log(prior.value)
    for _ in range(60):
        variance = noise**2

        def loss(u: float, variance: float = variance) -> float:
            return sum(x**2 for x in misfits(math.exp(u))) / variance + ((u - math.log(prior.value)) / prior.width) ** 2

        u = minimize_scalar(loss, bounds=(-3, 1), method="bounded", options={"xatol": 1e-10}).x
        total = sum(x**2 for x in misfits(math.exp(u))) + scatter.weight * scatter.value**2
        noise = math.sqrt(total / (len(rows) - len(families) + scatter.weight + 2))
    return math.exp(u)
