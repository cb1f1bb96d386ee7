"""What a model is worth: its leave-one-out errors, coverage and warnings, whichever kind of model it is."""

from typing import Any

from explorer.models.draws import PosteriorModel
from explorer.models.response_summary import responses_summary
from explorer.models.responses import Responses
from explorer.models.summary import fit_summary
from explorer.models.validation import leave_one_out


def model_summary(model: PosteriorModel) -> dict[str, Any]:
    """Return everything that `explorer fit --json` tells of a model, as plain JSON values."""
    if isinstance(model, Responses):
        return responses_summary(model)
    return fit_summary(model, leave_one_out(model.samples, widening=model.widening))
