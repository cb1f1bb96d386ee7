"""The model of the paper's samples, fitted once for a test session."""

from functools import cache

from explorer.models.response.fit_surrogate import fit_surrogate
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import with_knobs
from explorer.models.samples.samples import Samples, paper_samples


@cache
def paper_model() -> Surrogate:
    """Return the model of the paper's ten samples."""
    return fit_to(paper_samples())


def fit_to(samples: Samples) -> Surrogate:
    """Return a model of some samples, named `paper`."""
    return fit_surrogate([with_knobs(samples)], name="paper")
