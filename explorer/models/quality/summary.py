"""Summary of a fit as JSON: errors against baselines, coverage, forms with weights, assumptions and warnings."""

from typing import Any

import numpy as np

from explorer.models.fitting.calibration import MIN_TO_CALIBRATE
from explorer.models.quality.assumptions import assumption_rows, coefficient_rows, identifiability
from explorer.models.quality.held_out import (
    EDP,
    baseline_errors,
    interval_of,
    moved_reference_error,
    pair_calibration,
    rows_held_out,
)
from explorer.models.response.response import HeldOutRows, Response
from explorer.models.response.surrogate import EXPONENT_SOURCE, THRESHOLD_SOURCE, Surrogate
from explorer.problem.columns import TARGETS
from explorer.problem.targets import is_relative

SCHEMA = "explorer.fit/1"


def model_summary(model: Surrogate, *, is_full: bool = True) -> dict[str, Any]:
    """Return the content of `explorer fit --json`, as plain JSON values.

    Args:
        model: the model.
        is_full: with leave-one-out errors for which the reference designs are moved as well, which takes a second.
    """
    rows = rows_held_out(model)
    ordered = [name for name in (*TARGETS, EDP) if name in rows]
    return {
        "schema": SCHEMA,
        "source": model.samples.source,
        "samples_sha256": model.samples.sha256,
        "n_samples": len(model.samples.labels),
        "machine": model.samples.machine,
        "families": list(model.families),
        "targets": {name: _target_summary(model, name, rows[name], is_full=is_full) for name in ordered},
        "product": model.product.formula if model.product else None,
        "calibration": _calibration_text(model),
        "widening": {target: response.widening.factor for target, response in model.responses.items()},
        "coefficients": coefficient_rows(model),
        "assumptions": assumption_rows(model),
        "identifiability": identifiability(model),
        "collinear": [{"knobs": list(one.knobs), "text": one.text} for one in model.collinear],
        "laws": law_rows(model),
        "warnings": [{"kind": warning.kind, "text": warning.text} for warning in model.warnings],
    }


def _target_summary(model: Surrogate, target: str, rows: HeldOutRows, *, is_full: bool) -> dict[str, Any]:
    truth, predicted, low, high = interval_of(target, rows)
    absolute = np.abs(predicted - truth)
    half = (high - low) / 2 / (np.abs(truth) if is_relative(target) else 1.0)
    pairs = pair_calibration(rows)
    summary: dict[str, Any] = {
        "n": len(truth),
        "errors": "relative" if is_relative(target) else "absolute",
        "n_configurations": len(np.unique(rows.design)),
        "loo_mae": _mean(absolute),
        "loo_mape": _mean(absolute / np.abs(truth)),
        "coverage_90": _mean((low <= truth) & (truth <= high)),
        "mean_half_width": _mean(half),
        "baseline_loo_mae": None,
        "baseline_loo_mape": None,
        "pairs": {"n": pairs.n, "stated": _finite(pairs.stated), "right": _finite(pairs.right)},
    }
    response = model.responses.get(target)
    if response is None:
        formula = "edp_js = energy_j x latency_s" if target == EDP else model.product.formula if model.product else ""
        return {**summary, "r2": None, "noise": None, "formula": formula, "forms": []}
    mae, mape = baseline_errors(target, response)
    moved = moved_reference_error(response) if is_full else None
    return {
        **summary,
        "baseline_loo_mae": _finite(mae),
        "baseline_loo_mape": _finite(mape),
        "loo_reference_moved": moved,
        "r2": _finite(response.checked.r2),
        "noise": response.noise,
        "formula": _formula(response),
        "forms": form_rows(response),
    }


def form_rows(response: Response) -> list[dict[str, Any]]:
    """Return one row for each candidate form of a target: form, weight, error, error of unseen values, R^2."""
    return [
        {
            "form": one.name, "weight": one.weight, "error": _finite(one.error), "between": _finite(one.between),
            "r2": _finite(one.r2),
        }
        for one in response.candidates
    ]  # fmt: skip


def _formula(response: Response) -> str:
    best = response.fits[int(np.argmax(response.weights))].form
    return best.formula or best.name


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


def _calibration_text(model: Surrogate) -> str:
    factors = {t: r.widening.factor for t, r in model.responses.items()}
    n_designs = min(len(response.counts) for response in model.responses.values())
    widened = ", ".join(f"{target} by {factor:.2g}" for target, factor in factors.items() if factor > 1.005)
    if n_designs < MIN_TO_CALIBRATE:
        text = f"intervals are the posterior's; {n_designs} designs are too few for a quantile of held-out residuals"
        return f"{text} ({MIN_TO_CALIBRATE} are needed)" + (f"; widened to their size: {widened}" if widened else "")
    if not widened:
        return "intervals are the posterior's; held-out residuals (conformal) confirm their coverage"
    return f"intervals are the posterior's, widened by held-out rows (conformal): {widened}"


def _mean(values: "np.ndarray[Any, Any]") -> float | None:
    return float(values.mean()) if values.size else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
