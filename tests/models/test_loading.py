"""Loading models and samples by name."""

import numpy as np
import pytest

from explorer.errors import InvalidFile, WrongUsage
from explorer.models.loading import fit_samples, load_model, load_samples
from explorer.models.response.tables import with_knobs
from explorer.models.samples.samples import Samples


def test_unknown_model_name_is_refused() -> None:
    with pytest.raises(WrongUsage, match=r"no model is called 'papre'\n  fix: name paper"):
        load_model("papre")


def test_overlong_model_name_is_refused() -> None:
    with pytest.raises(WrongUsage, match="no model is called"):
        load_model("m" * 5000)


def test_paper_loads_the_ten_samples() -> None:
    (table,) = load_samples(["paper"])

    assert table.samples.labels[5] == "DNN3"


def test_h100_loads_two_tables() -> None:
    energy, accuracy = load_samples(["h100"])

    assert energy.samples.targets == ("latency_s", "energy_j", "power_w")
    assert accuracy.samples.targets == ("accuracy",)


def test_table_that_cannot_be_fitted_is_an_invalid_file(samples: Samples) -> None:
    with pytest.raises(InvalidFile, match=r"rows\.csv[\s\S]*fewer than two rows[\s\S]*fix: "):
        fit_samples([with_knobs(samples.rows(np.arange(10) == 0))], name="rows.csv")
