"""Leave-one-out: against a slow twin, against baselines by hand, and where there is nothing to judge by."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from explorer.models.parametric.functional_forms import SIZE_FORM
from explorer.models.quality.leave_one_out import CrossValidation, leave_one_out
from explorer.models.samples.samples import Samples

Row = tuple[str, float, float, float, float]


def test_size_is_judged_as_a_slow_twin_judges_it(samples: Samples, judged: Mapping[str, CrossValidation]) -> None:
    """The twin fits one number by a scalar search over plain Python lists, the family levels being means."""
    columns = samples.columns
    names = ("family", "pruning_ratio", "quant_step", "frequency_hz", "size_bytes")
    rows: list[Row] = list(zip(*[columns[name].tolist() for name in names], strict=True))
    gaps = []
    for i, row in enumerate(rows):
        rest = rows[:i] + rows[i + 1 :]
        a = _fit_by_hand(rest)
        own = [math.log(other[4]) - _effect(other, a) for other in rest if other[0] == row[0]]
        gaps.append(abs(math.exp(sum(own) / len(own) + _effect(row, a)) - row[4]))

    assert judged["size_bytes"].model.mae == pytest.approx(sum(gaps) / len(gaps), rel=1e-5)


def test_the_family_mean_is_the_mean_of_the_other_rows_of_the_family(judged: Mapping[str, CrossValidation]) -> None:
    """RNN has accuracies .89 and .87: each is predicted by the other; the rest by hand from Table 2."""
    table = {"CNN": [0.94, 0.93, 0.91], "DNN": [0.92, 0.90, 0.88], "RNN": [0.89, 0.87], "Transformer": [0.95, 0.93]}
    gaps = [abs(x - (sum(xs) - x) / (len(xs) - 1)) for xs in table.values() for x in xs]

    assert judged["accuracy"].family_mean.mae == pytest.approx(sum(gaps) / 10)


def test_edp_is_judged_as_the_product_of_the_two_predictions(samples: Samples) -> None:
    """Of one family with two rows only, so that the held-out predictions are those of single-row levels."""
    judged = leave_one_out(samples.rows(samples.columns["family"] == "RNN"))

    assert judged["edp_js"].n == 2
    assert judged["edp_js"].model.mape <= judged["energy_j"].model.mape + judged["latency_s"].model.mape + 0.01


def test_a_family_of_one_row_cannot_be_judged(samples: Samples) -> None:
    one_dnn = samples.rows((samples.columns["family"] != "DNN") | (np.array(samples.labels) == "DNN1"))

    assert {target: j.n for target, j in leave_one_out(one_dnn).items()}["accuracy"] == 7


def test_nothing_is_judged_where_every_family_has_one_row(samples: Samples) -> None:
    firsts = samples.rows(np.array([label.endswith("1") for label in samples.labels]))

    assert leave_one_out(firsts) == {}


def test_an_unmeasured_cell_is_not_judged(samples: Samples) -> None:
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["power_w"][:2] = np.nan
    judged = leave_one_out(Samples(columns, samples.labels, "", ""))

    # CNN3 is the only CNN row with power left: nothing of its family predicts it.
    assert judged["power_w"].n == 7
    assert judged["energy_j"].n == 10


def test_the_nearest_sample_baseline_asks_rows_that_measured_the_target(samples: Samples) -> None:
    """CNN2, the nearest row of both others, has no power: they are then each other's nearest."""
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
        left = {f: [math.log(r[4]) - _effect(r, a) for r in rows if r[0] == f] for f in families}
        return [x - sum(xs) / len(xs) for xs in left.values() for x in xs]

    noise, u = scatter.value, math.log(prior.value)
    for _ in range(60):
        variance = noise**2

        def loss(u: float, variance: float = variance) -> float:
            return sum(x**2 for x in misfits(math.exp(u))) / variance + ((u - math.log(prior.value)) / prior.width) ** 2

        u = minimize_scalar(loss, bounds=(-3, 1), method="bounded", options={"xatol": 1e-10}).x
        total = sum(x**2 for x in misfits(math.exp(u))) + scatter.weight * scatter.value**2
        noise = math.sqrt(total / (len(rows) - len(families) + scatter.weight + 2))
    return math.exp(u)
