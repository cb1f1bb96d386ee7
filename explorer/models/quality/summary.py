"""Summary of a fit as JSON: errors against baselines, coverage, coefficients with priors, and warnings."""

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
from explorer.models.response.response import LEVEL, CandidateForm, Response
from explorer.problem.columns import COLUMNS, NUMERIC_KNOBS, Float

SCHEMA = "explorer.fit/1"
_Z_90 = 1.6448536269514722  # 95 % quantile of the standard normal: bounds of a 90 % interval
_PRIOR_DECIDES_BELOW = 0.5  # data share of a coefficient
_PRIOR_ALONE = 0.1
_CORRELATED = 0.5
_COLLINEAR = 0.9


def model_summary(model: PosteriorModel) -> dict[str, Any]:
    """Return the content of `explorer fit --json` for any kind of model, as plain JSON values."""
    if isinstance(model, MultiResponse):
        return response_summary(model)
    return parametric_summary(model, leave_one_out(model.samples, widening=model.widening))


def parametric_summary(model: Surrogate, scores: Mapping[str, CrossValidation]) -> dict[str, Any]:
    """Return the content of `explorer fit --json` for a parametric surrogate, as plain JSON values."""
    return {
        "schema": SCHEMA,
        "source": model.samples.source,
        "samples_sha256": model.samples.sha256,
        "n_samples": len(model.samples.labels),
        "families": list(model.families),
        "targets": {
            target: {
                "n": score.n,
                "loo_mae": score.model.mae,
                "loo_mape": score.model.mape,
                "coverage_90": score.n_covered / score.n,
                "mean_half_width": score.half_width,
                "baseline_loo_mae": min(score.family_mean.mae, score.nearest_sample.mae),
                "baseline_loo_mape": min(score.family_mean.mape, score.nearest_sample.mape),
                "family_mean_loo_mae": score.family_mean.mae,
                "family_mean_loo_mape": score.family_mean.mape,
                "nearest_sample_loo_mae": score.nearest_sample.mae,
                "nearest_sample_loo_mape": score.nearest_sample.mape,
                "noise": model.fits[target].noise if target in model.fits else None,
                "formula": model.fits[target].form.formula if target in model.fits else None,
            }
            for target, score in scores.items()
        },
        "calibration": _parametric_calibration(model),
        "widening": dict(model.widening),
        "coefficients": coefficient_rows(model),
        "identifiability": _identifiability(model),
        "laws": law_rows(model),
        "warnings": fit_warnings(model, scores),
    }


def coefficient_rows(model: Surrogate) -> list[dict[str, Any]]:
    """Return one row per coefficient: value, 90 % interval (Laplace), prior with source, and the share from data."""
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
    """Return one row per family with its V-f law; only the constant is fitted to the samples."""
    return [
        {
            "family": family,
            "constant": law.constant,
            "threshold_v": law.threshold_v,
            "exponent": law.exponent,
            "constant_source": "the smallest constant at which every sample of the family is feasible",
            "threshold_source": THRESHOLD_SOURCE,
            "exponent_source": EXPONENT_SOURCE,
        }
        for family, law in model.laws.items()
    ]


def fit_warnings(model: Surrogate, scores: Mapping[str, CrossValidation]) -> list[str]:
    """Return warnings: coefficients decided by priors, targets no better than a baseline, families with one sample."""
    texts = []
    by_target = {
        target: [p.name for p, s in zip(fit.form.priors, fit.data_shares, strict=True) if s < _PRIOR_DECIDES_BELOW]
        for target, fit in model.fits.items()
    }
    decided = [f"{', '.join(names)} of {target}" for target, names in by_target.items() if names]
    if decided:
        texts.append(f"mostly decided by priors, not by these samples: {'; '.join(decided)}")
    for target, score in scores.items():
        baseline = min(score.family_mean.mae, score.nearest_sample.mae)
        if np.isfinite(baseline) and score.model.mae >= baseline:
            texts.append(f"{target}: the model predicts no better than a baseline; do not trust its trade-offs")
    texts += [f"{t}: too few samples to judge (each family has one)" for t in model.targets if t not in scores]
    single = [f for f in model.families if int(np.sum(model.samples.columns["family"] == f)) == 1]
    if single:
        texts.append(f"one sample each of {', '.join(single)}: their predictions use the other families' coefficients")
    return texts


def _parametric_calibration(model: Surrogate) -> str:
    n = len(model.samples.labels)
    if n < MIN_TO_CALIBRATE:
        return (
            f"intervals are the posterior's; {n} samples are too few to correct them by held-out residuals "
            f"({MIN_TO_CALIBRATE} are needed)"
        )
    if not model.widening:
        return "intervals are the posterior's; held-out residuals (conformal) confirm their coverage"
    widened = ", ".join(f"{target} by {factor:.2g}" for target, factor in model.widening.items())
    return f"intervals are the posterior's, widened by held-out residuals (conformal): {widened}"


def _identifiability(model: Surrogate) -> list[str]:
    """Return sentences on effects that the samples cannot separate: correlated or prior-dominated coefficients."""
    texts = []
    for target, fit in model.fits.items():
        covariance = fit.covariance[len(fit.levels) :, len(fit.levels) :]
        correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        coefficients = list(zip(fit.form.priors, fit.data_shares, strict=True))
        texts += [
            f"{target}: the effects of {a.effect_of} ({a.name}) and {b.effect_of} ({b.name}) cannot be separated by "
            f"these samples (correlation {correlation[i, j]:+.2f}); the priors decide how they divide"
            for (i, (a, a_share)), (j, (b, b_share)) in combinations(enumerate(coefficients), 2)
            if abs(correlation[i, j]) > _CORRELATED and max(a_share, b_share) < _PRIOR_DECIDES_BELOW
        ]
        texts += [
            f"{target}: the effect of {prior.effect_of} ({prior.name}) is the prior's, {share:.0%} from data"
            for prior, share in coefficients
            if share < _PRIOR_ALONE
        ]
    texts += [_collinearity_text(model, family) for family in model.families]
    return [text for text in texts if text]


def _collinearity_text(model: Surrogate, family: str) -> str:
    """Return a sentence if the samples of a family vary their knobs along one line; else empty."""
    rows = model.samples.columns["family"] == family
    n = int(rows.sum())
    if n < 2:
        return f"{family}: one sample, so no knob's effect is measured in this family"
    scaled = np.stack([model.domain[family][k].scaled(model.samples.columns[k][rows]) for k in NUMERIC_KNOBS])
    varied = np.flatnonzero(np.ptp(scaled, axis=1) > 0)
    if len(varied) < 2:
        return ""
    correlation = np.corrcoef(scaled[varied])
    if n > len(varied) + 1 and np.min(np.abs(correlation)) < _COLLINEAR:
        return ""
    names = ", ".join(COLUMNS[NUMERIC_KNOBS[i]].label for i in varied)
    return f"{family}: {n} samples vary {names} along one line; their separate effects are not in these data"


def response_summary(model: MultiResponse) -> dict[str, Any]:
    """Return the content of `explorer fit --json` for fitted responses, as plain JSON values."""
    responses = [model.responses[target] for target in model.targets]
    return {
        "schema": SCHEMA,
        "source": model.samples.source,
        "samples_sha256": model.samples.sha256,
        "n_samples": len(model.samples.labels),
        "families": list(model.families),
        "targets": {response.target: _target_summary(response) for response in responses},
        "calibration": _response_calibration(model),
        "widening": {response.target: response.widening.factor for response in responses},
        "coefficients": [],
        "identifiability": [text for response in responses if (text := _constant_knobs_text(response))],
        "laws": [],
        "warnings": list(model.notes),
    }


def candidate_rows(model: MultiResponse) -> list[dict[str, Any]]:
    """Return one row for each target and candidate form; `is_kept` marks the selected form."""
    return [
        {"target": target, **_candidate_scores(c), "is_kept": c.name == response.fit.form.name}
        for target, response in ((t, model.responses[t]) for t in model.targets)
        for c in response.candidates
    ]


@dataclass(frozen=True, slots=True)
class HeldOutPredictions:
    """Leave-one-out predictions of the measured designs with 90 % intervals, shape (n,) each, in the target's units."""

    truth: Float
    predicted: Float
    low: Float
    high: Float


def predict_left_out(response: Response) -> HeldOutPredictions:
    """Predict each measured design from the others, with its 90 % interval.

    The hyperparameters are those of the whole table: one row of many changes them little.
    """
    inputs = response.coordinates.transform(response.samples)
    fold = np.arange(inputs.n)
    with threadpool_limits(1):
        middle, variance = predict_held_out(
            response.fit, response.coordinates, inputs, response.table, fold, relearn=False
        )
        freedom = degrees_of_freedom(response.fit, response.coordinates, inputs, response.table)
    reach = half_width(freedom, LEVEL) * response.widening.factor * np.sqrt(variance)
    low, predicted, high = (unlink(response.target, middle + sign * reach) for sign in (-1.0, 0.0, 1.0))
    return HeldOutPredictions(unlink(response.target, response.table.values), predicted, low, high)


def _target_summary(response: Response) -> dict[str, Any]:
    held_out, checked, mean = predict_left_out(response), response.checked, response.candidates[0]
    absolute = np.abs(held_out.predicted - held_out.truth)
    is_accuracy = response.target == "accuracy"
    half = (held_out.high - held_out.low) / 2 / (1.0 if is_accuracy else held_out.truth)
    error_key = "loo_mae" if is_accuracy else "loo_mape"
    is_covered = (held_out.low <= held_out.truth) & (held_out.truth <= held_out.high)
    return {
        "n": int(response.counts.sum()),
        "n_configurations": len(held_out.truth),
        "loo_mae": float(absolute.mean()),
        "loo_mape": float(np.mean(absolute / held_out.truth)),
        "baseline_loo_mae": None,
        "baseline_loo_mape": None,
        error_key: checked.error,
        f"baseline_{error_key}": mean.error,
        "coverage_90": float(np.mean(is_covered)),
        "mean_half_width": float(half.mean()),
        "r2": checked.r2,
        "noise": response.noise,
        "formula": response.fit.form.name,
        "choice": response.choice,
        "candidates": [_candidate_scores(c) for c in response.candidates],
    }


def _candidate_scores(candidate: CandidateForm) -> dict[str, Any]:
    return {
        "form": candidate.name, "error": candidate.error, "between": candidate.between, "r2": candidate.r2
    }  # fmt: skip


def _response_calibration(model: MultiResponse) -> str:
    n_designs = min(len(model.responses[t].counts) for t in model.targets)
    if n_designs < MIN_TO_CALIBRATE:
        return (
            f"intervals are the posterior's, widened to the error of held-out rows; {n_designs} designs are too few "
            f"for a quantile ({MIN_TO_CALIBRATE} are needed)"
        )
    widened = ", ".join(f"{t} by {model.responses[t].widening.factor:.2g}" for t in model.targets)
    return f"intervals are the posterior's, widened by held-out rows (conformal): {widened}"


def _constant_knobs_text(response: Response) -> str:
    """Return a sentence on the knobs that the samples of a target do not vary; empty without such knobs."""
    constant = [name for name, scale in response.coordinates.scales.items() if not scale.is_varied]
    if not constant:
        return ""
    return f"{response.target}: {', '.join(constant)} is constant, so its effect is assumed, not measured"
