"""What a fit found, as rows and JSON: coefficients beside their priors, errors beside baselines, and warnings."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from explorer.models.surrogate import EXPONENT_SOURCE, THRESHOLD_SOURCE, Surrogate
from explorer.models.validation import Judged

SCHEMA = "explorer.fit/1"
_Z_90 = 1.6448536269514722  # standard normal quantile of 95 %: the interval holds 90 %
_PRIOR_DECIDES_BELOW = 0.5


def coefficient_rows(model: Surrogate) -> list[dict[str, Any]]:
    """Return one row a coefficient: value, 90 % interval (Laplace), prior with source, and the share from data."""
    rows: list[dict[str, Any]] = []
    for target, fit in model.fits.items():
        for prior, mode, spread, share in zip(fit.shape.priors, fit.mode, fit.spreads, fit.data_shares, strict=True):
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


def fit_summary(model: Surrogate, judged: Mapping[str, Judged]) -> dict[str, Any]:
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
                "baseline_loo_mae": min(j.family_mean.mae, j.nearest_sample.mae),
                "baseline_loo_mape": min(j.family_mean.mape, j.nearest_sample.mape),
                "family_mean_loo_mae": j.family_mean.mae,
                "nearest_sample_loo_mae": j.nearest_sample.mae,
                "noise": model.fits[target].noise if target in model.fits else None,
                "formula": model.fits[target].shape.formula if target in model.fits else None,
            }
            for target, j in judged.items()
        },
        "coefficients": coefficient_rows(model),
        "laws": law_rows(model),
        "warnings": warnings_of(model, judged),
    }


def warnings_of(model: Surrogate, judged: Mapping[str, Judged]) -> list[str]:
    """Return what a user must know before using a fit."""
    texts = []
    by_target = {
        target: [p.name for p, s in zip(fit.shape.priors, fit.data_shares, strict=True) if s < _PRIOR_DECIDES_BELOW]
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
