"""Forms: how a target may depend on any knobs, as sums of terms put into a law; every prior stands here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.special import expit, logit

from explorer.models.response.input_scaling import InputCoordinates, ScaledInputs
from explorer.problem.columns import Float

Law = Literal["sum", "shares", "cliff", "accuracy_cliff", "storage"]
LAWS: tuple[Law, ...] = get_args(Law)
_MAX_CROSSED = 6  # products of more axes than these are more terms than tables have rows
_MIN_POWER = 6.0
LEAST_ACCURACY = 1e-4  # log-odds of 0 and of 1 are infinite; a share of right answers is not known closer than this


@dataclass(frozen=True, slots=True)
class Term:
    """Columns of one predictor: one for each combination of levels, times a product of coordinates.

    Args:
        predictor: which sum it belongs to.
        categories: the category knobs whose combinations of levels have a coefficient each.
        powers: the numeric knobs whose coordinates are multiplied; one named twice is squared.
        center: what its coefficients are believed to be.
        width: standard deviation of that prior; where it is learned, the value to start from.
        is_learned: the samples decide how wide (partial pooling): terms that explain nothing shrink to nothing.
    """

    predictor: str
    categories: tuple[str, ...] = ()
    powers: tuple[str, ...] = ()
    center: float = 0.0
    width: float = 1.0
    is_learned: bool = True

    def columns(self, coordinates: InputCoordinates, placed: ScaledInputs) -> Float:
        """Return the term's columns, shape (n, number of coefficients)."""
        code, size = np.zeros(placed.n, dtype=np.int64), 1
        for name in self.categories:
            n_levels = len(coordinates.levels[name])
            code, size = code * n_levels + placed.codes[name], size * n_levels
        product = np.ones(placed.n)
        for name in self.powers:
            product = product * placed.z[name]
        columns = np.zeros((placed.n, size))
        columns[np.arange(placed.n), code] = product
        return columns


@dataclass(frozen=True, slots=True)
class FunctionalForm:
    """A candidate: terms, the law that they are put into, and whether a Gaussian process takes what they leave.

    Args:
        name: short, for tables.
        law: `sum` adds the terms up; `shares` mixes powers of the knobs by shares; `cliff` is a plateau with edges;
            `strain` is one from which the strains of pruning and step together push off; `stored` is what is left
            of the weights in so many bits, beside what is always stored.
        terms: all terms of all predictors.
        parts: for `shares`, each part's exponents of numeric knobs (in factors of their middle).
        has_process: with a residual Gaussian process.
    """

    name: str
    law: Law
    terms: tuple[Term, ...]
    parts: tuple[Mapping[str, float], ...] = ()
    has_process: bool = False

    @property
    def predictors(self) -> tuple[str, ...]:
        """The sums it is made of, in order of appearance."""
        return tuple(dict.fromkeys(term.predictor for term in self.terms))


def link(target: str, values: Float) -> Float:
    """Map a target to the scale in which it is fitted: log-odds of accuracy, logarithms of all others."""
    if target == "accuracy":
        return np.asarray(logit(np.clip(values, LEAST_ACCURACY, 1 - LEAST_ACCURACY)))
    return np.log(values)


def unlink(target: str, linked: Float) -> Float:
    """Map back: accuracy within (0, 1), all others above 0."""
    if target == "accuracy":
        return np.asarray(expit(np.clip(linked, -30, 30)))
    return np.asarray(np.exp(np.clip(linked, -700, 700)))


def evaluate_form(
    form: FunctionalForm, sums: Mapping[str, Float], coordinates: InputCoordinates, placed: ScaledInputs
) -> Float:
    """Put predictors into the form's law, shape (..., n), in the target's link."""
    if form.law == "shares":
        return _shares(form, sums, coordinates, placed)
    if form.law == "accuracy_cliff":
        return _strain(sums, placed)
    if form.law == "storage":
        return _stored(sums, placed)
    return _cliff(sums, placed) if form.law == "cliff" else sums["level"]


def _shares(
    form: FunctionalForm, sums: Mapping[str, Float], coordinates: InputCoordinates, placed: ScaledInputs
) -> Float:
    """Return level + log of the parts' mean, weighted by shares that are softmax of the other predictors."""
    weights, powers = [np.zeros(placed.n)], []
    weights += [sums[name] for name in form.predictors if name != "level"]
    for part in form.parts:
        power = np.zeros(placed.n)
        for name, exponent in part.items():
            power = power + exponent * placed.z[name] * coordinates.scales[name].half
        powers.append(power)
    ahead = np.stack(np.broadcast_arrays(*[w + p for w, p in zip(weights, powers, strict=True)]))
    alone = np.stack(np.broadcast_arrays(*weights))
    return np.asarray(sums["level"] + np.logaddexp.reduce(ahead, axis=0) - np.logaddexp.reduce(alone, axis=0))


def _cliff(sums: Mapping[str, Float], placed: ScaledInputs) -> Float:
    """Return log-odds of c + (a - c) / (1 + exp((R - r0)/s_R) + exp((ln D - d0)/s_D))."""
    chance, plateau = expit(sums["chance"]), expit(sums["plateau"])
    fallen = np.zeros(placed.n)
    if "step edge" in sums:
        log_step = np.log(np.maximum(placed.raw["quant_step"], 1e-300))
        fallen = fallen + np.exp(np.clip((log_step - sums["step edge"]) / np.exp(sums["step width"]), -700, 50))
    if "pruning edge" in sums:
        above = placed.raw["pruning_ratio"] - sums["pruning edge"]
        fallen = fallen + np.exp(np.clip(above / np.exp(sums["pruning width"]), -700, 50))
    share = chance + (plateau - chance) / (1 + fallen)
    return np.asarray(logit(np.clip(share, LEAST_ACCURACY, 1 - LEAST_ACCURACY)))


def _strain(sums: Mapping[str, Float], placed: ScaledInputs) -> Float:
    """Return log-odds of c + (a - c) / (1 + ((w0 / w)^(1/(k s_w)) + (D / D0)^(1/(k s_D)))^k), w = 1 - R.

    Unlike the cliff it ends at chance where no weight is left. s_w and s_D are the widths of the edges in logarithms,
    where the other knob is mild; k rounds the corner between them: at 1 the edges know nothing of each other, and the
    larger it is, the earlier pruning and step feel each other.
    """
    corner, strains = np.exp(sums["corner"]) if "corner" in sums else 1.0, []
    if "step edge" in sums:
        log_step = np.log(np.maximum(placed.raw["quant_step"], 1e-300))
        strains.append((log_step - sums["step edge"]) / np.exp(sums["step width"]))
    if "pruning edge" in sums:
        log_kept = np.log(np.maximum(1 - placed.raw["pruning_ratio"], 1e-300))
        strains.append((sums["pruning edge"] - log_kept) / np.exp(sums["pruning width"]))
    strain = strains[0] if len(strains) == 1 else corner * np.logaddexp(strains[0] / corner, strains[1] / corner)
    chance, plateau = expit(sums["chance"]), expit(sums["plateau"])
    share = chance + (plateau - chance) * expit(-strain)
    return np.asarray(logit(np.clip(share, LEAST_ACCURACY, 1 - LEAST_ACCURACY)))


def _stored(sums: Mapping[str, Float], placed: ScaledInputs) -> Float:
    """Return the logarithm of S (p + (1 - p) w^a (bits / 8)^b), with w the smaller of 1 - R and exp(-D / d).

    Rounding makes zeros too: weights below half a step are gone whether they were pruned or not, exp(-D / d) are left
    (d is the weights' spread). The smaller of both is rounded off: tensors differ.
    """
    log_kept = np.log(np.maximum(1 - placed.raw["pruning_ratio"], 1e-3))
    step = np.maximum(placed.raw["quant_step"], 1e-9)
    log_left = -step / np.exp(sums["spread"])
    kept = -np.logaddexp(-_MIN_POWER * log_kept, -_MIN_POWER * log_left) / _MIN_POWER
    log_bits = np.log(np.log2(1 + 2 / step) / 8)
    varying = np.exp(sums["weights power"]) * kept + np.exp(sums["bits power"]) * log_bits
    always = expit(sums["always"])
    return np.asarray(sums["level"] + np.log(always + (1 - always) * np.exp(varying)))


def pooled(
    coordinates: InputCoordinates,
    predictor: str,
    *,
    center: float,
    spread: float,
    axes: Sequence[str],
    degree: int,
    intercept: float,
    n: int,
) -> tuple[Term, ...]:
    """Return terms that let a predictor differ by category and along axes, each kind with a width of its own.

    Args:
        coordinates: of the samples.
        predictor: its name.
        center: what it is believed to be in the middle.
        spread: how much categories and axes are first believed to move it.
        axes: the numeric knobs that may move it.
        degree: 0 categories alone; 1 with slopes, shared and by category; 2 with curvature and interactions.
        intercept: standard deviation of the prior in `center`.
        n: number of rows; what has more combinations of levels than they can tell apart is left out.
    """
    categories = coordinates.categories
    alone: list[tuple[str, ...]] = [(name,) for name in categories]
    pairs = [(a, b) for i, a in enumerate(categories) for b in categories[i + 1 :]]
    sizes = {names: math.prod(len(coordinates.levels[name]) for name in names) for names in [*alone, *pairs]}
    crossed = [names for names in sizes if sizes[names] <= max(n, 24) or len(names) == 1]
    sloped = [names for names in sizes if 4 * sizes[names] <= n]
    curved = [names for names in sizes if 8 * sizes[names] <= n]
    terms = [Term(predictor, center=center, width=intercept, is_learned=False)]
    terms += [Term(predictor, names, width=spread) for names in crossed]
    if degree >= 1:
        for axis in axes:
            terms += [Term(predictor, (), (axis,), width=spread)]
            terms += [Term(predictor, names, (axis,), width=spread / 2) for names in sloped]
    if degree >= 2:
        squares = [(axis, axis) for axis in axes]
        products = [(a, b) for i, a in enumerate(axes) for b in axes[i + 1 :]] if len(axes) <= _MAX_CROSSED else []
        for powers in (*squares, *products):
            terms += [Term(predictor, (), powers, width=spread / 3)]
            terms += [Term(predictor, names, powers, width=spread / 6) for names in curved]
    return tuple(terms)
