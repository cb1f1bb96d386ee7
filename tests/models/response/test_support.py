"""Support: gaps, category ranges and empty corners are extrapolations; grids and single-factor designs are not."""

import numpy as np
import pytest

from explorer.models.forms.input_scaling import fit_coordinates
from explorer.models.response.fit_surrogate import fit_surrogate
from explorer.models.response.response import Response
from explorer.models.response.support import Support
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import with_knobs
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples
from explorer.problem.applicability import EXTRAPOLATION
from explorer.problem.columns import Columns

SIDE, WIDTH = KnobSpec("side", "number"), KnobSpec("width", "number")
SCHEME = KnobSpec("scheme", "category")


def support(columns: Columns, *knobs: KnobSpec, lengths: float = 1.0) -> Support:
    coordinates = fit_coordinates(columns, knobs)
    inputs = coordinates.transform(columns)
    return Support(coordinates, inputs, np.full(len(coordinates.tie), lengths))


def grid(side: np.ndarray, width: np.ndarray) -> Columns:
    a, b = (values.ravel() for values in np.meshgrid(side, width))
    return {"side": a, "width": b}


@pytest.mark.parametrize("n", [3, 5, 9])
def test_interior_of_a_grid_is_supported(n: int) -> None:
    rows = grid(np.linspace(0, 10, n), np.linspace(1, 2, n))
    inside = np.random.default_rng(0).random((2, 500))

    assert (support(rows, SIDE, WIDTH).distance({"side": 10 * inside[0], "width": 1 + inside[1]}) == 0).all()


def test_samples_are_supported() -> None:
    rng = np.random.default_rng(1)
    rows = {"side": rng.uniform(0, 10, 30), "width": rng.uniform(0, 1, 30)}

    assert (support(rows, SIDE, WIDTH).distance(rows) == 0).all()


def two_clusters() -> Columns:
    rng = np.random.default_rng(2)
    near = np.concatenate([rng.uniform(0, 0.12, (12, 2)), rng.uniform(0.88, 1.0, (12, 2))])
    return {"side": near[:, 0], "width": near[:, 1]}


def test_gap_between_two_clusters_is_an_extrapolation() -> None:
    between = {"side": np.array([0.5, 0.4]), "width": np.array([0.5, 0.6])}

    assert (support(two_clusters(), SIDE, WIDTH).distance(between) > EXTRAPOLATION).all()


def test_gap_grows_with_the_distance_from_the_nearest_cluster() -> None:
    one = support(two_clusters(), SIDE, WIDTH).distance({"side": np.linspace(0.3, 0.5, 5), "width": np.full(5, 0.5)})

    assert np.all(np.diff(one) > 0)


def test_range_is_that_of_the_category() -> None:
    """One scheme was measured at 8 and 16 bits only; the other from 2 bits on."""
    rows: Columns = {
        "scheme": np.array(["k-means"] * 6 + ["plain"] * 3, dtype=object),
        "side": np.array([2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 8.0, 12.0, 16.0]),
    }
    asked: Columns = {"scheme": np.array(["k-means", "plain", "plain"], dtype=object), "side": np.array([2.0, 2.0, 10])}
    distance = support(rows, SCHEME, SIDE).distance(asked)

    assert distance[0] == 0
    assert distance[1] > EXTRAPOLATION
    assert distance[2] == 0


def test_category_with_one_value_is_bound_to_it() -> None:
    rows: Columns = {
        "scheme": np.array(["a"] * 5 + ["b"], dtype=object), "side": np.array([1.0, 2.0, 3.0, 4.0, 5.0, 3.0]),
    }  # fmt: skip
    asked: Columns = {"scheme": np.array(["b", "b"], dtype=object), "side": np.array([3.0, 5.0])}
    distance = support(rows, SCHEME, SIDE).distance(asked)

    assert distance[0] == 0
    assert distance[1] > 0


def test_corner_of_one_factor_at_a_time_is_supported() -> None:
    """Two levels a knob in 4 rows: the corner is a sum of measured effects."""
    columns: Columns = {
        "side": np.array([0.0, 1.0, 0.0, 0.0]), "width": np.array([0.0, 0.0, 1.0, 0.0]),
        "depth": np.array([0.0, 0.0, 0.0, 1.0]),
    }  # fmt: skip
    corner = {name: np.array([1.0]) for name in columns}
    knobs = [KnobSpec(name, "number") for name in columns]

    assert support(columns, *knobs).distance(corner)[0] <= EXTRAPOLATION


def test_knob_without_effect_leaves_no_gap() -> None:
    """Ten sides, and two widths that change nothing: between the widths nothing is unknown."""
    rng = np.random.default_rng(3)
    side, width = np.repeat(np.linspace(0, 1, 12), 2), np.tile([1.0, 2.0], 12)
    values = np.exp(side + 0.02 * rng.standard_normal(24))
    columns: Columns = {
        "family": np.full(24, "network", dtype=object), "side": side, "width": width, "energy_j": values,
    }  # fmt: skip
    model = fit_surrogate([with_knobs(Samples(columns, ("row",) * 24, "x", "0"))], name="x")
    asked: Columns = {
        "family": np.full(1, "network", dtype=object), "side": np.array([0.5]), "width": np.array([1.5]),
    }  # fmt: skip

    assert isinstance(model.responses["energy_j"], Response)
    assert model.evaluate(asked)["domain_distance"][0] <= EXTRAPOLATION


def test_default_domain_of_the_paper_is_supported(model: Surrogate) -> None:
    """Three rows a family do not show gaps; the whole range of each family is searched as before."""
    for family in model.families:
        spans = model.domain[family]
        rng = np.random.default_rng(4)
        designs: Columns = {name: rng.uniform(span.low, span.high, 300) for name, span in spans.items()}
        designs["family"] = np.full(300, family, dtype=object)

        assert (model.evaluate(designs)["domain_distance"] == 0).all()


def test_margin_of_the_papers_domain_is_no_extrapolation(model: Surrogate) -> None:
    """Searches go half a range beyond the samples by default: `domain_distance` 0.5 at most."""
    for family in model.families:
        designs: Columns = {}
        for name, span in model.domain[family].items():
            low, high = span.widened(0.499)
            designs[name] = np.random.default_rng(5).uniform(low, high, 300)
        designs["family"] = np.full(300, family, dtype=object)

        assert (model.evaluate(designs)["domain_distance"] <= EXTRAPOLATION).all()
