"""What a fit found, as rows and JSON: coefficients beside their priors, errors beside baselines, and warnings."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from explorer.models.parametric.surrogate import EXPONENT_SOURCE, THRESHOLD_SOURCE, Surrogate
from explorer.models.posterior_draws import PosteriorModel
from explorer.models.quality.leave_one_out import CrossValidation, leave_one_out
from explorer.models.response.calibration import MIN_TO_CALIBRATE, half_width
from explorer.models.response.fitting import degrees_of_freedom, predict_held_out
from explorer.models.response.forms import unlink
from explorer.models.response.multi_target import MultiResponse
from explorer.models.response.response import LEVEL, Response
from explorer.problem.columns import COLUMNS, NUMERIC_KNOBS, Float

SCHEMA = "explorer.fit/1"
_Z_90 = 1.6448536269514722  # standard normal quantile of 95 %: the interval holds 90 %
_PRIOR_DECIDES_BELOW = 0.5
_PRIOR_ALONE = 0.1
_TRADED_OFF = 0.5
_ONE_LINE = 0.9


def coefficient_rows(model: Surrogate) -> list[dict[str, Any]]:
    """Return one row a coefficient: value, 90 % interval (Laplace), prior with source, and the share from data."""
    rows: list[dict[str, Any]] = []
    for target, fit in model.fits.items():
        for prior, mode, spread, share in zip(fit.form.priors, fit.mode, fit.spreads, fit.data_shares, strict=True):
            rows.append(
                {
                    "target": target,
                    "name": prior.name,
                    "value": float(prior.natural(mode)),
                    "lo": float(prior.natural(mode - _Z_90 * spread)),
                    "hi": float(prior.natural(mode + _Z_90 * spread)),
                    "prior": {
                        "value": prior.value,
                        "lo": float(prior.natural(prior.center - _Z_90 * prior.width)),
                        "hi": float(prior.natural(prior.center + _Z_90 * prior.width)),
                        "width": prior.width,
                        "scale": prior.scale,
                        "meaning": prior.meaning,
                        "source": prior.source,
                    },
                    "data_share": float(share),
                }
            )
    return rows


def law_rows(model: Surrogate) -> list[dict[str, Any]]:
    """Return each family's V-f law; only its constant comes from the samples."""
    return [
        {
            "family": family,
            "constant": law.constant,
            "threshold_v": law.threshold_v,
            "exponent": law.exponent,
            "constant_source": "the smallest that lets every sample of the family exist",
            "threshold_source": THRESHOLD_SOURCE,
            "exponent_source": EXPONENT_SOURCE,
        }
        for family, law in model.laws.items()
    ]


def parametric_summary(model: Surrogate, judged: Mapping[str, CrossValidation]) -> dict[str, Any]:
    """Return everything that `explorer fit` tells, as plain JSON values."""
    return {
        "schema": SCHEMA,
        "source": model.samples.source,
        "samples_sha256": model.samples.sha256,
        "n_samples": len(model.samples.labels),
        "families": list(model.families),
        "targets": {
            target: {
                "n": j.n,
                "loo_mae": j.model.mae,
                "loo_mape": j.model.mape,
                "coverage_90": j.n_covered / j.n,
                "mean_half_width": j.half_width,
                "baseline_loo_mae": min(j.family_mean.mae, j.nearest_sample.mae),
                "baseline_loo_mape": min(j.family_mean.mape, j.nearest_sample.mape),
                "family_mean_loo_mae": j.family_mean.mae,
                "family_mean_loo_mape": j.family_mean.mape,
                "nearest_sample_loo_mae": j.nearest_sample.mae,
                "nearest_sample_loo_mape": j.nearest_sample.mape,
                "noise": model.fits[target].noise if target in model.fits else None,
                "formula": model.fits[target].form.formula if target in model.fits else None,
            }
            for target, j in judged.items()
        },
        "calibration": calibration_text(model),
        "widening": dict(model.widening),
        "coefficients": coefficient_rows(model),
        "identifiability": identifiability(model),
        "laws": law_rows(model),
        "warnings": fit_warnings(model, judged),
    }


def calibration_text(model: Surrogate) -> str:
    """Say how the intervals were checked."""
    n = len(model.samples.labels)
    if n < MIN_TO_CALIBRATE:
        return (
            f"intervals are the posterior's; {n} samples are too few to correct them by held-out residuals "
            f"({MIN_TO_CALIBRATE} would do)"
        )
    if not model.widening:
        return "intervals are the posterior's; held-out residuals (conformal) confirm that they cover"
    widened = ", ".join(f"{target} by {factor:.2g}" for target, factor in model.widening.items())
    return f"intervals are the posterior's, widened by held-out residuals (conformal): {widened}"


def identifiability(model: Surrogate) -> list[str]:
    """Say in words what the samples cannot separate: coefficients whose errors trade off against each other."""
    texts = []
    for target, fit in model.fits.items():
        covariance = fit.covariance[len(fit.levels) :, len(fit.levels) :]
        correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        known = list(zip(fit.form.priors, fit.data_shares, strict=True))
        texts += [
            f"{target}: the effects of {one.effect_of} ({one.name}) and {other.effect_of} ({other.name}) cannot be "
            f"separated by these samples (correlation {correlation[i, j]:+.2f}); their split is the priors'"
            for (i, (one, share)), (j, (other, its_share)) in combinations(enumerate(known), 2)
            if abs(correlation[i, j]) > _TRADED_OFF and max(share, its_share) < _PRIOR_DECIDES_BELOW
        ]
        texts += [
            f"{target}: the effect of {prior.effect_of} ({prior.name}) is the prior's, {share:.0%} from data"
            for prior, share in known
            if share < _PRIOR_ALONE
        ]
    texts += [_ridge_text(model, family) for family in model.families]
    return [text for text in texts if text]


def _ridge_text(model: Surrogate, family: str) -> str:
    """Say where a family's samples turned several knobs together, so that no form can tell them apart."""
    rows = model.samples.columns["family"] == family
    n = int(rows.sum())
    if n < 2:
        return f"{family}: one sample, so no knob's effect is measured in this family"
    scaled = np.stack([model.domain[family][k].scaled(model.samples.columns[k][rows]) for k in NUMERIC_KNOBS])
    moved = np.flatnonzero(np.ptp(scaled, axis=1) > 0)
    if len(moved) < 2:
        return ""
    correlation = np.corrcoef(scaled[moved])
    if n > len(moved) + 1 and np.min(np.abs(correlation)) < _ONE_LINE:
        return ""
    names = ", ".join(COLUMNS[NUMERIC_KNOBS[i]].label for i in moved)
    return f"{family}: {n} samples turned {names} along one line; their separate effects are not in these data"


def fit_warnings(model: Surrogate, judged: Mapping[str, CrossValidation]) -> list[str]:
    """Return what a user must know before using a fit."""
    texts = []
    by_target = {
        target: [p.name for p, s in zip(fit.form.priors, fit.data_shares, strict=True) if s < _PRIOR_DECIDES_BELOW]
        for target, fit in model.fits.items()
    }
    decided = [f"{', '.join(names)} of {target}" for target, names in by_target.items() if names]
    if decided:
        texts.append(f"mostly decided by priors, not by these samples: {'; '.join(decided)}")
    for target, j in judged.items():
        best = min(j.family_mean.mae, j.nearest_sample.mae)
        if np.isfinite(best) and j.model.mae >= best:
            texts.append(f"{target}: the model predicts no better than a baseline; do not trust its trade-offs")
    texts += [f"{t}: too few samples to judge (each family has one)" for t in model.targets if t not in judged]
    lonely = [f for f in model.families if int(np.sum(model.samples.columns["family"] == f)) == 1]
    if lonely:
        texts.append(
            f"one sample each of {', '.join(lonely)}: their predictions lean on the other families' coefficients"
        )
    return texts


@dataclass(frozen=True, slots=True)
class HeldOutPredictions:
    """Each measured configuration as the others predict it, shape (n,) each, in the target's units."""

    truth: Float
    predicted: Float
    low: Float
    high: Float


def predict_left_out(response: Response) -> HeldOutPredictions:
    """Predict each configuration by the others, with its 90 % interval as the model would give it.

    The scales of the form stay those of the whole table: one row of many hardly moves them.
    """
    placed = response.coordinates.transform(response.samples)
    fold = np.arange(placed.n)
    with threadpool_limits(1):
        middle, variance = predict_held_out(
            response.fit, response.coordinates, placed, response.table, fold, relearn=False
        )
        freedom = degrees_of_freedom(response.fit, response.coordinates, placed, response.table)
    reach = half_width(freedom, LEVEL) * response.widening.factor * np.sqrt(variance)
    low, predicted, high = (unlink(response.target, middle + sign * reach) for sign in (-1.0, 0.0, 1.0))
    return HeldOutPredictions(unlink(response.target, response.table.values), predicted, low, high)


def response_summary(model: MultiResponse) -> dict[str, Any]:
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


def candidate_rows(model: MultiResponse) -> list[dict[str, Any]]:
    """Return one row for each target and form that was tried, the kept one marked."""
    return [
        {"target": target, "form": c.name, "error": c.error, "between": c.between, "r2": c.r2,
         "is_kept": c.name == response.fit.form.name}
        for target, response in ((t, model.responses[t]) for t in model.targets)
        for c in response.candidates
    ]  # fmt: skip


def _target(response: Response) -> dict[str, Any]:
    one, checked, mean = predict_left_out(response), response.checked, response.candidates[0]
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


def _calibration(model: MultiResponse) -> str:
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
    still = [name for name, axis in response.coordinates.scales.items() if not axis.is_varied]
    if not still:
        return ""
    return f"{response.target}: {', '.join(still)} was never turned, so its effect is assumed, not measured"


def model_summary(model: PosteriorModel) -> dict[str, Any]:
    """Return everything that `explorer fit --json` tells of a model, as plain JSON values."""
    if isinstance(model, MultiResponse):
        return response_summary(model)
    return parametric_summary(model, leave_one_out(model.samples, widening=model.widening))
