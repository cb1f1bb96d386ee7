"""Functional forms of a target: linear predictors, sums of terms with priors, combined by a law in the link's scale."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from scipy.special import expit, logit

from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs
from explorer.problem.columns import Float
from explorer.problem.targets import is_relative, share_range

Law = Literal["sum", "mix", "loss", "cliff", "accuracy_cliff", "storage"]
LAWS: tuple[Law, ...] = get_args(Law)
OPERATING_KNOBS = ("voltage_v", "frequency_hz")
_MAX_CROSSED = 6  # above this many knobs their pairwise products outnumber the rows of typical tables
_MIN_POWER = 6.0
_CURVED_TO = 1.25  # half ranges from the middle up to which a curve stays curved
_MAX_LOG = 60.0  # e^60 of a share or of a loss is as good as infinite, and its products stay finite
LEAST_ACCURACY = 1e-4  # log-odds of 0 and 1 are infinite; no accuracy is measured more precisely than this
_STEP_UNIT = 0.02  # the finest step of the paper's samples

TermScale = Literal["linear", "log", "logit"]


@dataclass(frozen=True, slots=True)
class Term:
    """Term of a linear predictor: a column for each combination of levels, times a product of scaled knobs.

    Args:
        predictor: the linear predictor that it belongs to.
        categories: the category knobs; each combination of their levels has a coefficient.
        powers: the numeric knobs that are multiplied; one named twice is squared.
        center: prior mean of the coefficients.
        width: prior standard deviation of the coefficients; the initial value if it is learned.
        is_learned: the width is fitted to the samples (partial pooling), so that irrelevant terms shrink to zero.
        scale: scale on which the prior is normal: `log` (of a positive number) or `logit` (of a share).
        meaning: of the coefficient, for reports; empty for terms that are not reported one by one.
        source: of the prior's center and width.
    """

    predictor: str
    categories: tuple[str, ...] = ()
    powers: tuple[str, ...] = ()
    center: float = 0.0
    width: float = 1.0
    is_learned: bool = True
    scale: TermScale = "linear"
    meaning: str = ""
    source: str = ""

    def columns(self, coordinates: InputCoordinates, inputs: ScaledInputs) -> Float:
        """Return the term's columns, shape (n, number of coefficients)."""
        if not self.categories:
            return self._product(inputs)[:, None]
        code, size = np.zeros(inputs.n, dtype=np.int64), 1
        for name in self.categories:
            n_levels = len(coordinates.levels[name])
            code, size = code * n_levels + inputs.codes[name], size * n_levels
        columns = np.zeros((inputs.n, size))
        columns[np.arange(inputs.n), code] = self._product(inputs)
        return columns

    def _product(self, inputs: ScaledInputs) -> Float:
        """Return the product of the scaled knobs, shape (n,).

        Beyond the samples a square goes on along its tangent and a product does not grow: a curve fitted to a range
        states nothing about its curvature outside.
        """
        if not self.powers:
            return np.ones(inputs.n)
        if len(self.powers) == 1:
            return inputs.z[self.powers[0]]
        first, second = (inputs.z[name] for name in self.powers)
        inner = np.clip(first, -_CURVED_TO, _CURVED_TO)
        if self.powers[0] == self.powers[1]:
            return np.asarray(inner * (2 * first - inner))
        return np.asarray(inner * np.clip(second, -_CURVED_TO, _CURVED_TO))

    def natural(self, values: Float | float) -> Float:
        """Return coefficients in natural units."""
        if self.scale == "log":
            return np.exp(values)
        return np.asarray(expit(values)) if self.scale == "logit" else np.asarray(values, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a mixture: a share times powers of physical quantities.

    Args:
        weight: factors of its share at the reference design, by predictor: `+p` is expit(p), `-p` is 1 - expit(p), `p`
            is exp(p). Shares of all parts are normalized.
        powers: exponent of each quantity: a number, times exp of predictors (`a`), divided by exp of others (`/a`).
    """

    weight: tuple[str, ...] = ()
    powers: Mapping[str, tuple[float, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FunctionalForm:
    """Functional form: terms, the law that combines their predictors, and an optional residual Gaussian process.

    Args:
        name: short, for tables.
        law: `sum` is the predictor `level`; `mix` a mixture of power laws; `loss` log-odds minus losses by pruning and
            rounding; `cliff` a plateau with separate edges in step and pruning ratio; `accuracy_cliff` a plateau with a
            joint edge; `storage` the size of the remaining weights at their bit width plus a constant share.
        terms: all terms of all predictors.
        parts: of the law `mix`.
        has_process: with a residual Gaussian process.
        is_sampled: the posterior of its coefficients is sampled; otherwise it is normal around the mode.
        formula: the form in one line, for reports.
    """

    name: str
    law: Law
    terms: tuple[Term, ...]
    parts: tuple[Part, ...] = ()
    has_process: bool = False
    is_sampled: bool = False
    formula: str = ""

    @property
    def predictors(self) -> tuple[str, ...]:
        """Names of the linear predictors, in order of appearance."""
        return tuple(dict.fromkeys(term.predictor for term in self.terms))


def link(target: str, values: Float) -> Float:
    """Apply the link function of a target: log-odds for a share, the logarithm for positive values, else none."""
    if (ends := share_range(target)) is not None:
        share = (values - ends[0]) / (ends[1] - ends[0])
        return np.asarray(logit(np.clip(share, LEAST_ACCURACY, 1 - LEAST_ACCURACY)))
    return np.log(values) if is_relative(target) else np.asarray(values, dtype=np.float64)


def unlink(target: str, linked: Float) -> Float:
    """Apply the inverse link: shares within their range, positive values above 0."""
    if (ends := share_range(target)) is not None:
        return np.asarray(ends[0] + (ends[1] - ends[0]) * expit(np.clip(linked, -30, 30)))
    return np.asarray(np.exp(np.clip(linked, -700, 700))) if is_relative(target) else linked


def natural_unit(target: str, values: Float) -> float:
    """Return the size of an effect on the linked scale: 1 in log-odds and logarithms, else the spread of the values.

    Args:
        target: the column.
        values: the measured values, linked, shape (n,).
    """
    if is_relative(target) or share_range(target) is not None:
        return 1.0
    return max(2 * float(np.std(values)), 1e-3 * float(np.abs(values).max()), 1e-12)


def evaluate_form(form: FunctionalForm, sums: Mapping[str, Float], inputs: ScaledInputs) -> Float:
    """Return the linked target of predictors combined by the form's law, shape (..., n)."""
    if form.law == "mix":
        return _mix(form, sums, inputs)
    if form.law == "loss":
        return _loss(sums, inputs)
    if form.law == "accuracy_cliff":
        return _accuracy_cliff(sums, inputs)
    if form.law == "storage":
        return _storage(sums, inputs)
    return _cliff(sums, inputs) if form.law == "cliff" else sums["level"]


def _mix(form: FunctionalForm, sums: Mapping[str, Float], inputs: ScaledInputs) -> Float:
    """Return level + log of the parts' mean, weighted by their shares at the reference design, shape (..., n)."""
    weights, scaled = [], []
    for part in form.parts:
        weight = np.zeros(1)
        for factor in part.weight:
            weight = weight + _log_factor(factor, sums)
        power = weight
        for quantity, (number, factors) in part.powers.items():
            exponent = np.full(1, number)
            for factor in factors:
                logs = -sums[factor[1:]] if factor[0] == "/" else sums[factor]
                exponent = exponent * np.exp(np.clip(logs, -_MAX_LOG, _MAX_LOG))
            power = power + exponent * inputs.logs[quantity]
        weights.append(weight)
        scaled.append(power)
    if len(form.parts) == 1:
        return np.asarray(sums["level"] + scaled[0] - weights[0])
    return np.asarray(sums["level"] + _log_sum(scaled) - _log_sum(weights))


def _log_factor(factor: str, sums: Mapping[str, Float]) -> Float:
    if factor[0] in "+-":
        value = sums[factor[1:]]
        return np.asarray(-np.logaddexp(0.0, -value if factor[0] == "+" else value))
    return sums[factor]


def _log_sum(logs: Sequence[Float]) -> Float:
    """Return the logarithm of a sum of exponentials; one pass of `exp` each, unlike repeated `logaddexp`."""
    highest = logs[0]
    for one in logs[1:]:
        highest = np.maximum(highest, one)
    return np.asarray(highest + np.log(sum(np.exp(one - highest) for one in logs)))


def _loss(sums: Mapping[str, Float], inputs: ScaledInputs) -> Float:
    """Return level - b_R R/(1 - R) - b_D D/0.02 in log-odds, with the bits' step D = 2^(1 - bits) without a step."""
    linked = sums["level"]
    if "b_R" in sums:
        ratio = np.minimum(inputs.raw["pruning_ratio"], 1 - 1e-9)
        linked = linked - np.exp(sums["b_R"]) * (ratio / (1 - ratio))
    if "b_D" in sums:
        linked = linked - np.exp(sums["b_D"]) * (_step(inputs) / _STEP_UNIT)
    return np.asarray(linked)


def _step(inputs: ScaledInputs) -> Float:
    """Return the quantization step, shape (n,); that of the bits in a table of bits."""
    return inputs.raw["quant_step"] if "quant_step" in inputs.raw else 2.0 ** (1 - inputs.raw["weight_bits"])


def _cliff(sums: Mapping[str, Float], inputs: ScaledInputs) -> Float:
    """Return log-odds of c + (a - c) / (1 + exp((R - r0)/s_R) + exp((ln D - d0)/s_D))."""
    chance, plateau = expit(sums["chance"]), expit(sums["plateau"])
    strain = np.zeros(inputs.n)
    if "step edge" in sums:
        log_step = np.log(np.maximum(inputs.raw["quant_step"], 1e-300))
        strain = strain + np.exp(np.clip((log_step - sums["step edge"]) / np.exp(sums["step width"]), -700, 50))
    if "pruning edge" in sums:
        above = inputs.raw["pruning_ratio"] - sums["pruning edge"]
        strain = strain + np.exp(np.clip(above / np.exp(sums["pruning width"]), -700, 50))
    share = chance + (plateau - chance) / (1 + strain)
    return np.asarray(logit(np.clip(share, LEAST_ACCURACY, 1 - LEAST_ACCURACY)))


def _accuracy_cliff(sums: Mapping[str, Float], inputs: ScaledInputs) -> Float:
    """Return log-odds of c + (a - c) / (1 + ((w0 / w)^(1/(k s_w)) + (D / D0)^(1/(k s_D)))^k), w = 1 - R.

    Unlike `cliff` it falls to chance as the remaining weights w vanish. s_w and s_D are the logarithmic widths of one
    edge while the other knob is far from its own. k rounds the corner between the edges: at 1 they are independent; the
    larger k, the earlier pruning and step interact.
    """
    corner, strains = np.exp(sums["corner"]) if "corner" in sums else 1.0, []
    if "step edge" in sums:
        log_step = np.log(np.maximum(_step(inputs), 1e-300))
        strains.append((log_step - sums["step edge"]) / np.exp(sums["step width"]))
    if "pruning edge" in sums:
        log_remaining = np.log(np.maximum(1 - inputs.raw["pruning_ratio"], 1e-300))
        strains.append((sums["pruning edge"] - log_remaining) / np.exp(sums["pruning width"]))
    strain = strains[0] if len(strains) == 1 else corner * np.logaddexp(strains[0] / corner, strains[1] / corner)
    chance, plateau = expit(sums["chance"]), expit(sums["plateau"])
    share = chance + (plateau - chance) * expit(-strain)
    return np.asarray(logit(np.clip(share, LEAST_ACCURACY, 1 - LEAST_ACCURACY)))


def _storage(sums: Mapping[str, Float], inputs: ScaledInputs) -> Float:
    """Return the logarithm of S (p + (1 - p) w^a (bits / 8)^b), with w the smooth minimum of 1 - R and exp(-D / d).

    Quantization also zeroes the weights below half a step, pruned or not, which leaves a share exp(-D / d) with d the
    spread of the weights. The minimum is smooth because tensors differ.
    """
    log_unpruned = np.log(np.maximum(1 - inputs.raw["pruning_ratio"], 1e-3))
    step = np.maximum(inputs.raw["quant_step"], 1e-9)
    log_nonzero = -step / np.exp(sums["spread"])
    log_remaining = -np.logaddexp(-_MIN_POWER * log_unpruned, -_MIN_POWER * log_nonzero) / _MIN_POWER
    log_bits = np.log(np.log2(1 + 2 / step) / 8)
    varying = np.exp(sums["weights power"]) * log_remaining + np.exp(sums["bits power"]) * log_bits
    always = expit(sums["always"])
    return np.asarray(sums["level"] + np.log(always + (1 - always) * np.exp(varying)))


def pooled(
    coordinates: InputCoordinates,
    predictor: str,
    *,
    center: float,
    spread: float,
    knobs: Sequence[str],
    degree: int,
    intercept: float,
    n: int,
) -> tuple[Term, ...]:
    """Return partially pooled terms of a predictor: intercepts, slopes and curvature by category, each with a width.

    Args:
        coordinates: of the samples.
        predictor: its name.
        center: prior mean in the middle of the samples.
        spread: initial prior standard deviation of the effects of categories and knobs.
        knobs: the numeric knobs that may affect it.
        degree: 0 categories only; 1 with slopes, shared and by category; 2 with curvature and interactions.
        intercept: prior standard deviation of the intercept around `center`.
        n: number of rows; terms with more combinations of levels than rows can identify are omitted.
    """
    categories = coordinates.categories
    single: list[tuple[str, ...]] = [(name,) for name in categories]
    pairs = [(a, b) for i, a in enumerate(categories) for b in categories[i + 1 :]]
    sizes = {names: math.prod(len(coordinates.levels[name]) for name in names) for names in [*single, *pairs]}
    crossed = [names for names in sizes if sizes[names] <= max(n, 24) or len(names) == 1]
    sloped = [names for names in sizes if 4 * sizes[names] <= n]
    curved = [names for names in sizes if 8 * sizes[names] <= n]
    terms = [Term(predictor, center=center, width=intercept, is_learned=False)]
    terms += [Term(predictor, names, width=spread) for names in crossed]
    if degree >= 1:
        for knob in knobs:
            terms += [Term(predictor, (), (knob,), width=spread)]
            terms += [Term(predictor, names, (knob,), width=spread / 2) for names in sloped]
    if degree >= 2:
        squares = [(knob, knob) for knob in knobs]
        products = [(a, b) for i, a in enumerate(knobs) for b in knobs[i + 1 :]] if len(knobs) <= _MAX_CROSSED else []
        for powers in (*squares, *products):
            terms += [Term(predictor, (), powers, width=spread / 3)]
            terms += [Term(predictor, names, powers, width=spread / 6) for names in curved]
    return tuple(terms)
