"""Fixtures: the paper's samples and the model fitted to them."""

import pytest

from explorer.models.loading import load_model
from explorer.models.response.surrogate import Surrogate
from explorer.models.samples.samples import Samples, paper_samples


@pytest.fixture(scope="session")
def samples() -> Samples:
    return paper_samples()


@pytest.fixture(scope="session")
def model() -> Surrogate:
    return load_model("paper")
