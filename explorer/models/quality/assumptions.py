"""Assumptions of a fit: every prior with value, width and source, and what the samples could not separate."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from explorer.models.fitting.sampled_fit import TEMPERATURE, SampledFit
from explorer.models.forms.forms import Term, link
from explorer.models.forms.physics import COMPRESSION, CONSTANT_EXPONENTS, EXPONENTS, QUANTITY_OF
from explorer.models.response.averaging import EVIDENCE_TEMPERATURE
from explorer.models.response.response import Response, ResponseDraws, draw_response
from explorer.models.response.surrogate import EXPONENT_SOURCE, THRESHOLD_SOURCE, Surrogate
from explorer.problem.columns import Columns, stack
from explorer.problem.targets import is_relative, kind_of

_Z_90 = 1.6448536269514722
_PRIOR_DECIDES_BELOW = 0.5  # data share of a coefficient
_PRIOR_ALONE = 0.1
_MIN_WEIGHT_TO_REPORT = 0.1
_N_DRAWS = 120
# Assumptions without a width: no data can change them.
_FIXED = (
    ("energy_j", "voltage_v", "switching energy rises with V^2 (except in 'voltage power')", "CMOS: C V^2"),
    ("energy_j", "voltage_v", "leakage energy rises with voltage times time", "CMOS: V I_leak T, I_leak constant"),
    ("power_w", "voltage_v", "switching power rises with V^2 f, leakage with V", "CMOS"),
    ("latency_s", "frequency_hz", "a part of the time falls with 1/f, the rest does not depend on f", "assumed"),
    ("size_bytes", "pruning_ratio", "no size is above that of the original network, where it is stated", "definition"),
)


def coefficient_rows(model: Surrogate) -> list[dict[str, Any]]:
    """Return one row per coefficient of each sampled form: value, 90 % interval, prior with source, share from data."""
    rows: list[dict[str, Any]] = []
    for target, response in model.responses.items():
        for weight, fit in zip(response.weights, response.fits, strict=True):
            if not isinstance(fit, SampledFit):
                continue
            terms = {term.predictor: term for term in fit.form.terms if term.meaning}
            rows += [
                {
                    "target": target, "form": fit.form.name, "weight": float(weight), "name": name, "value": value,
                    "lo": low, "hi": high, "prior": _prior(terms[name]), "data_share": share,
                }
                for name, value, low, high, share in fit.coefficient_summary()
            ]  # fmt: skip
    return rows


def _prior(term: Term) -> dict[str, Any]:
    return {
        "value": float(term.natural(term.center)),
        "lo": float(term.natural(term.center - _Z_90 * term.width)),
        "hi": float(term.natural(term.center + _Z_90 * term.width)),
        "width": term.width,
        "scale": term.scale,
        "meaning": term.meaning,
        "source": term.source,
    }


def assumption_rows(model: Surrogate) -> list[dict[str, Any]]:
    """Return every prior of the model, those of width zero included: target, assumption, value, width and source."""
    rows: list[dict[str, Any]] = []
    for target, response in model.responses.items():
        rows += [
            {"target": target, "assumption": text, "value": None, "width": 0.0, "source": source}
            for name, knob, text, source in _FIXED
            if name == target and knob in response.coordinates.scales
        ]
        rows += _slope_rows(target, response)
        rows += _term_rows(target, response)
    if any(isinstance(fit, SampledFit) for response in model.responses.values() for fit in response.fits):
        reason = "assumed: forms are simplifications, whose errors are correlated between rows"
        rows += [
            {"target": "", "assumption": "weights of physical forms: log evidences are divided by",
             "value": EVIDENCE_TEMPERATURE, "width": 0.0, "source": reason},
            {"target": "", "assumption": "draws of physical forms: log likelihoods are divided by",
             "value": TEMPERATURE, "width": 0.0, "source": reason},
        ]  # fmt: skip
    rows += [
        {"target": "", "assumption": "V-f law: threshold voltage", "value": law.threshold_v, "width": 0.0,
         "source": THRESHOLD_SOURCE}
        for law in list(model.laws.values())[:1]
    ]  # fmt: skip
    rows += [
        {
            "target": "",
            "assumption": "V-f law: exponent",
            "value": law.exponent,
            "width": 0.0,
            "source": EXPONENT_SOURCE,
        }
        for law in list(model.laws.values())[:1]
    ]
    return rows


def _slope_rows(target: str, response: Response) -> list[dict[str, Any]]:
    rows = []
    for name, scale in response.coordinates.scales.items():
        exponents = EXPONENTS if scale.is_varied else CONSTANT_EXPONENTS
        kind = kind_of(target)
        prior = exponents.get((kind, name)) or COMPRESSION.get((kind, name))
        if prior and scale.is_varied:
            what = "exponent in the power laws" if is_relative(target) else "slope in log-odds"
            rows.append(
                {"target": target, "assumption": f"{what} of {name}", "value": prior[0], "width": prior[1],
                 "source": "CMOS physics, width assumed" if (kind, name) in EXPONENTS else "assumed"}
            )  # fmt: skip
        elif not scale.is_varied:
            rows.append(
                {"target": target, "assumption": f"effect of {name}, which the samples do not vary",
                 "value": prior[0] if prior else 0.0, "width": prior[1] if prior else 0.5, "source": "assumed"}
            )  # fmt: skip
    return rows


def _term_rows(target: str, response: Response) -> list[dict[str, Any]]:
    terms = {
        (term.predictor, term.meaning): term
        for fit in response.fits
        if isinstance(fit, SampledFit)
        for term in fit.form.terms
        if term.meaning
    }
    rows = [
        {"target": target, "assumption": f"{term.predictor}: {term.meaning}", "value": float(term.natural(term.center)),
         "width": term.width, "source": term.source}
        for term in terms.values()
    ]  # fmt: skip
    if terms:
        rows.append(
            {"target": target, "assumption": "scatter of a measurement around a form (linked)", "value": 0.05,
             "width": 0.7, "source": "assumed: tables print two to three digits, and forms are simplifications"}
        )  # fmt: skip
    return rows


def identifiability(model: Surrogate) -> list[str]:
    """Return sentences on effects that the samples do not separate: forms disagree, or priors decide."""
    texts: list[str] = []
    for target, response in model.responses.items():
        constant = [name for name, scale in response.coordinates.scales.items() if not scale.is_varied]
        if constant:
            texts.append(f"{target}: {', '.join(constant)} is constant, so its effect is assumed, not measured")
        texts += _form_texts(target, response)
    by_target = {
        target: [name for name, share in _decided(response) if share < _PRIOR_DECIDES_BELOW]
        for target, response in model.responses.items()
    }
    decided = [f"{', '.join(names)} of {target}" for target, names in by_target.items() if names]
    if decided:
        texts.append(f"mostly decided by priors, not by these samples: {'; '.join(decided)}")
    texts += [one.text for one in model.collinear]
    return texts


def _decided(response: Response) -> list[tuple[str, float]]:
    """Return (name, share from data) of the coefficients of the sampled forms with a notable weight."""
    shares: dict[str, float] = {}
    for weight, fit in zip(response.weights, response.fits, strict=True):
        if isinstance(fit, SampledFit) and weight >= _MIN_WEIGHT_TO_REPORT:
            for name, _, _, _, share in fit.coefficient_summary():
                shares[name] = max(share, shares.get(name, 0.0))
    return list(shares.items())


def _form_texts(target: str, response: Response) -> list[str]:
    """Return a sentence for each knob of known physics along which forms and draws disagree on the direction."""
    texts: list[str] = []
    knobs = [name for name in response.coordinates.varied if name in QUANTITY_OF]
    draws = draw_response(response, n=_N_DRAWS) if knobs else None
    for name in knobs:
        low, high = response.samples[name].min(), response.samples[name].max()
        ends = [{**response.samples, name: np.full(len(response.counts), end, dtype=np.float64)} for end in (low, high)]
        up, size = _rise(response, draws, ends)
        if 0.05 < up < 0.95 and size > 0.5 * response.noise:
            texts.append(
                f"{target}: these samples do not identify whether it rises or falls with {name}, all else equal "
                f"(probability that it rises {up:.0%}, over forms and draws)"
            )
    return texts


def _rise(response: Response, draws: ResponseDraws | None, ends: Sequence[Columns]) -> tuple[float, float]:
    """Return the probability that a target rises along a knob, averaged over the samples, and the effect's size."""
    if draws is None:
        return 0.5, 0.0
    values = draws.evaluate(stack(ends), with_noise=False)
    low, high = np.split(link(response.target, values), 2, axis=1)
    effect = np.mean(high - low, axis=1)
    return float(np.mean(effect > 0)), float(np.sqrt(np.mean(effect**2)))
