"""Fixtures: the paper's samples and the model fitted to them."""

from collections.abc import Mapping

import pytest

from explorer.models.parametric.surrogate import Surrogate, fit_surrogate
from explorer.models.quality.leave_one_out import CrossValidation, leave_one_out
from explorer.models.samples.samples import Samples, paper_samples


@pytest.fixture(scope="session")
def samples() -> Samples:
    return paper_samples()


@pytest.fixture(scope="session")
def model(samples: Samples) -> Surrogate:
    return fit_surrogate(samples, name="paper")


@pytest.fixture(scope="session")
def judged(samples: Samples) -> Mapping[str, CrossValidation]:
    return leave_one_out(samples)
