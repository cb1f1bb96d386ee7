"""Posterior draws of coefficients and predictions.

The noise is integrated out in closed form, so the density of levels and coefficients is exact up to a constant. Draws
are made by importance resampling (Rubin 1988) around the mode. Each draw is a joint sample of all coefficients, so
errors that two predictions share count once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from explorer.models.parametric.functional_forms import PARAMETRIC_FORMS, ParametricForm
from explorer.models.parametric.laplace import Fit
from explorer.models.parametric.surrogate import Surrogate, relative_to, with_latency_ratio
from explorer.models.response.multi_target import MultiResponse
from explorer.models.response.response import ResponseDraws
from explorer.models.samples.nearest import nearest_sample
from explorer.problem.columns import Columns, Float, by_family, n_rows, take

N_DRAWS = 400
_PROPOSALS_PER_DRAW = 10
_PROPOSAL_FREEDOM = 5  # degrees of freedom: heavier tails than the normal approximation at the mode
_BLOCK = 2_000  # designs at once: 400 draws of a block take 6 MB a target
# Model discrepancy (Kennedy and O'Hagan 2001): the form itself is uncertain away from the samples, beyond its
# coefficients. As in a Gaussian process the discrepancy is 0 at a sample and saturates a few sampled ranges away. Its
# standard deviation, relative to the scatter, is assumed.
_DISCREPANCY = 0.6


@dataclass(frozen=True, slots=True)
class FitDraws:
    """S posterior draws of one target: levels (S, number of families), coefficients (S,) each, noise, unit scatter.

    `scatter` is one standard normal a draw, shared by all designs: the interval of a design does not depend on the
    other designs of its table. `effective` is the effective share of the importance sample.
    """

    families: tuple[str, ...]
    levels: Float
    coefficients: Mapping[str, Float]
    noise: Float
    scatter: Float
    effective: float


# Models with posterior draws, samples and a domain, as intervals, front probabilities and advice need them.
PosteriorModel = Surrogate | MultiResponse
Draws = Mapping[str, FitDraws] | Mapping[str, ResponseDraws]


def posterior_draws(model: PosteriorModel, *, n: int = N_DRAWS, seed: int = 0) -> Draws:
    """Return n posterior draws of the coefficients of every target, reproducible by seed."""
    if isinstance(model, MultiResponse):
        return model.posterior(n=n, seed=seed)
    columns = model.samples.columns
    relative = with_latency_ratio(relative_to(model.references, columns), model.fits.get("latency_s"))
    streams = np.random.SeedSequence(seed).spawn(len(PARAMETRIC_FORMS))
    result = {}
    for stream, target in zip(streams, PARAMETRIC_FORMS, strict=True):
        if target in model.fits:
            rows = np.isfinite(columns[target])
            result[target] = _draw(
                model.fits[target], take(relative, rows), columns["family"][rows], columns[target][rows],
                n=n, rng=np.random.default_rng(stream),
            )  # fmt: skip
    return result


def predict_draws(model: PosteriorModel, draws: Draws, designs: Columns, *, with_noise: bool) -> Columns:
    """Return every target of the designs in every draw, shape (S, n) each; NaN for families without samples.

    Args:
        model: the model.
        draws: its posterior draws.
        designs: the knobs, shape (n,) each.
        with_noise: add the scatter of a new measurement around the fitted form.
    """
    if isinstance(model, MultiResponse):
        return model.evaluate_draws(
            {t: d for t, d in draws.items() if isinstance(d, ResponseDraws)}, designs, with_noise=with_noise
        )
    return _predict_parametric_draws(
        model, {t: d for t, d in draws.items() if isinstance(d, FitDraws)}, designs, with_noise
    )


def _predict_parametric_draws(
    model: Surrogate, draws: Mapping[str, FitDraws], designs: Columns, with_noise: bool
) -> Columns:
    relative = relative_to(model.references, designs)
    latency = PARAMETRIC_FORMS["latency_s"]
    if "latency_s" in draws:
        ratio = np.exp(latency.effect(relative, _coefficient_columns(draws["latency_s"])))
    else:
        ratio = np.exp(latency.effect(relative, {p.name: p.value for p in latency.priors}))
    names, index = by_family(designs["family"])
    _, distance = nearest_sample(model.samples, designs, model.domain)
    inflation = np.sqrt(1 + _DISCREPANCY**2 * -np.expm1(-0.5 * distance**2))
    result = {}
    for target in (t for t in model.targets if t in draws):
        own, form = draws[target], PARAMETRIC_FORMS[target]
        # The last level is NaN: families without samples of this target have none.
        position = [own.families.index(name) if name in own.families else -1 for name in names]
        levels = np.column_stack([own.levels, np.full(len(own.noise), np.nan)])[:, np.array(position)[index]]
        linked = levels + form.effect({**relative, "latency_ratio": ratio}, _coefficient_columns(own))
        if with_noise:
            linked = linked + (own.noise * own.scatter)[:, None] * (model.widening.get(target, 1.0) * inflation)
        result[target] = form.unlinked(linked)
    return result


def split_into_blocks(designs: Columns) -> list[Columns]:
    """Return designs in blocks, so that all draws of a block fit into memory."""
    return [take(designs, np.arange(i, min(i + _BLOCK, n_rows(designs)))) for i in range(0, n_rows(designs), _BLOCK)]


def _draw(fit: Fit, relative: Columns, family: "np.ndarray[tuple[int, ...], np.dtype[np.object_]]", values: Float,
          *, n: int, rng: np.random.Generator) -> FitDraws:  # fmt: skip
    families = tuple(fit.levels)
    k = len(families)
    mode = np.concatenate([np.array([fit.levels[name] for name in families]), fit.mode])
    root = np.linalg.cholesky(fit.covariance)
    size = n * _PROPOSALS_PER_DRAW
    normal = rng.standard_normal((size, len(mode)))
    stretch = np.sqrt(_PROPOSAL_FREEDOM / rng.chisquare(_PROPOSAL_FREEDOM, size))
    state = mode + (normal * stretch[:, None]) @ root.T
    index = np.array([families.index(name) for name in family.tolist()])
    misfit = fit.form.linked(values) - state[:, :k][:, index] - _effects(fit.form, state[:, k:], relative)
    squares = np.sum(misfit**2, axis=1)
    log_weight = _log_density(fit, state[:, k:], squares) + 0.5 * (_PROPOSAL_FREEDOM + len(mode)) * np.log1p(
        np.sum((normal * stretch[:, None]) ** 2, axis=1) / _PROPOSAL_FREEDOM
    )
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    # Systematic resampling (Carpenter, Clifford and Fearnhead 1999) adds the least variance.
    picks = np.searchsorted(np.cumsum(weight), (np.arange(n) + rng.random()) / n).clip(0, size - 1)
    picks = rng.permutation(picks)
    prior = fit.form.noise
    degrees = prior.weight + len(values)
    variance = (prior.weight * prior.value**2 + squares[picks]) / rng.chisquare(degrees, n)
    chosen = state[picks]
    coefficients = {p.name: p.natural(chosen[:, k + j]) for j, p in enumerate(fit.form.priors)}
    return FitDraws(families, chosen[:, :k], coefficients, np.sqrt(variance), _stratified_normals(n, rng),
                    float(1 / np.sum(weight**2) / size))  # fmt: skip


def _log_density(fit: Fit, coefficients: Float, squares: Float) -> Float:
    """Return the log posterior with the noise integrated out, shape (S,), up to a constant."""
    centers = np.array([p.center for p in fit.form.priors])
    widths = np.array([p.width for p in fit.form.priors])
    noise = fit.form.noise
    likelihood = -0.5 * (fit.n + noise.weight) * np.log(noise.weight * noise.value**2 + squares)
    return np.asarray(likelihood - 0.5 * np.sum(((coefficients - centers) / widths) ** 2, axis=1))


def _effects(form: ParametricForm, coefficients: Float, relative: Columns) -> Float:
    natural = {p.name: p.natural(coefficients[:, j : j + 1]) for j, p in enumerate(form.priors)}
    return form.effect(relative, natural)


def _stratified_normals(n: int, rng: np.random.Generator) -> Float:
    """Return n stratified standard normals, one from each n-th of the distribution: stable quantiles of few draws."""
    from scipy.special import ndtri

    return np.asarray(rng.permutation(ndtri((np.arange(n) + 0.5) / n)))


def _coefficient_columns(draws: FitDraws) -> dict[str, Float]:
    return {name: values[:, None] for name, values in draws.coefficients.items()}
