"""What a fit of responses found, as rows and JSON: the forms tried with their errors, and what they are worth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from explorer.models.fitting import freedom_of, held_out
from explorer.models.forms import unlink
from explorer.models.response import LEVEL, Response
from explorer.models.responses import Responses
from explorer.models.widening import MIN_TO_CALIBRATE, half_width
from explorer.problem.columns import Float


@dataclass(frozen=True, slots=True)
class Unseen:
    """Each measured configuration as the others predict it, shape (n,) each, in the target's units."""

    truth: Float
    predicted: Float
    low: Float
    high: Float


def unseen(response: Response) -> Unseen:
    """Predict each configuration by the others, with its 90 % interval as the model would give it.

    The scales of the form stay those of the whole table: one row of many hardly moves them.
    """
    placed = response.coordinates.place(response.samples)
    fold = np.arange(placed.n)
    with threadpool_limits(1):
        middle, variance = held_out(response.fit, response.coordinates, placed, response.table, fold, relearn=False)
        freedom = freedom_of(response.fit, response.coordinates, placed, response.table)
    reach = half_width(freedom, LEVEL) * response.widening.factor * np.sqrt(variance)
    low, predicted, high = (unlink(response.target, middle + sign * reach) for sign in (-1.0, 0.0, 1.0))
    return Unseen(unlink(response.target, response.table.values), predicted, low, high)


def responses_summary(model: Responses) -> dict[str, Any]:
    """Return everything that `explorer fit` tells of responses, as plain JSON values."""
    return {
        "schema": "explorer.fit/1",
        "source": model.samples.source,
        "samples_sha256": model.samples.sha256,
        "n_samples": len(model.samples.labels),
        "families": list(model.families),
        "targets": {target: _target(model.responses[target]) for target in model.targets},
        "calibration": _calibration(model),
        "widening": {target: model.responses[target].widening.factor for target in model.targets},
        "coefficients": [],
        "identifiability": [text for target in model.targets if (text := _split(model.responses[target]))],
        "laws": [],
        "warnings": list(model.notes),
    }


def candidate_rows(model: Responses) -> list[dict[str, Any]]:
    """Return one row for each target and form that was tried, the kept one marked."""
    return [
        {"target": target, "form": c.name, "error": c.error, "between": c.between, "r2": c.r2,
         "is_kept": c.name == response.fit.form.name}
        for target, response in ((t, model.responses[t]) for t in model.targets)
        for c in response.candidates
    ]  # fmt: skip


def _target(response: Response) -> dict[str, Any]:
    one, checked, mean = unseen(response), response.checked, response.candidates[0]
    gap = np.abs(one.predicted - one.truth)
    is_accuracy = response.target == "accuracy"
    half = (one.high - one.low) / 2 / (1.0 if is_accuracy else one.truth)
    own = "loo_mae" if is_accuracy else "loo_mape"
    baseline = "baseline_loo_mae" if is_accuracy else "baseline_loo_mape"
    return {
        "n": int(response.counts.sum()),
        "n_configurations": len(one.truth),
        "loo_mae": float(gap.mean()),
        "loo_mape": float(np.mean(gap / one.truth)),
        "baseline_loo_mae": None,
        "baseline_loo_mape": None,
        own: checked.error,
        baseline: mean.error,
        "coverage_90": float(np.mean((one.low <= one.truth) & (one.truth <= one.high))),
        "mean_half_width": float(half.mean()),
        "r2": checked.r2,
        "noise": response.noise,
        "formula": response.fit.form.name,
        "choice": response.choice,
        "candidates": [{"form": c.name, "error": c.error, "between": c.between, "r2": c.r2}
                       for c in response.candidates],
    }  # fmt: skip


def _calibration(model: Responses) -> str:
    least = min(len(model.responses[t].counts) for t in model.targets)
    if least < MIN_TO_CALIBRATE:
        return (
            f"intervals are the posterior's, widened where held-out rows lie further off; {least} configurations are "
            f"too few for a quantile of them ({MIN_TO_CALIBRATE} would do)"
        )
    widened = ", ".join(f"{t} by {model.responses[t].widening.factor:.2g}" for t in model.targets)
    return f"intervals are the posterior's, widened by held-out rows (conformal): {widened}"


def _split(response: Response) -> str:
    """Say which knobs the rows of a target never turned."""
    still = [name for name, axis in response.coordinates.axes.items() if not axis.is_varied]
    if not still:
        return ""
    return f"{response.target}: {', '.join(still)} was never turned, so its effect is assumed, not measured"
