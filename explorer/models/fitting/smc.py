"""Sequential Monte Carlo sampler for non-Gaussian posteriors (tempered likelihood, resample-move).

The posterior of an edge between two measurements is flat between them; a normal approximation at the mode would exclude
most of it. Del Moral, Doucet and Jasra, "Sequential Monte Carlo samplers", JRSS B 68(3), 2006: the exponent of the
likelihood rises from 0 to 1 in steps; after each step the particles are resampled and moved by Metropolis-Hastings.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from explorer.problem.columns import Float

_MIN_EFFECTIVE = 0.5  # smallest effective share of the particles after a step
_MOVES = 2
_MAX_STEPS = 40
_HALVINGS = 12


def smc_sample(
    log_likelihood: Callable[[Float], Float], *, centers: Float, widths: Float, n: int, rng: np.random.Generator
) -> tuple[Float, float]:
    """Return draws from a posterior with a normal prior, shape (n, p), and the logarithm of its evidence.

    Args:
        log_likelihood: of coefficients of shape (n, p), shape (n,).
        centers: prior means, shape (p,).
        widths: prior standard deviations, shape (p,).
        n: number of particles.
        rng: random generator.
    """

    def log_weight(u: Float) -> Float:
        return np.nan_to_num(log_likelihood(centers + widths * u), nan=-1e12, neginf=-1e12)

    state = rng.standard_normal((n, len(centers)))
    likelihood, power, evidence = log_weight(state), 0.0, 0.0
    for _ in range(_MAX_STEPS):
        step = _next_step(likelihood, 1.0 - power)
        power = power + step
        highest = likelihood.max()
        weights = np.exp(step * (likelihood - highest))
        evidence += step * highest + np.log(weights.mean())
        picks = _resample(weights / weights.sum(), rng)
        root = _proposal_root(state[picks])
        state, likelihood = state[picks], likelihood[picks]
        for scale in (1.0, 0.4)[:_MOVES]:
            moved = state + scale * rng.standard_normal(state.shape) @ root.T
            moved_likelihood = log_weight(moved)
            gain = power * (moved_likelihood - likelihood) + 0.5 * np.sum(state**2 - moved**2, axis=1)
            is_accepted = np.log(rng.random(n)) < gain
            state = np.where(is_accepted[:, None], moved, state)
            likelihood = np.where(is_accepted, moved_likelihood, likelihood)
        if power >= 1.0:
            break
    return np.asarray(centers + widths * state), float(evidence)


def _next_step(likelihood: Float, remaining: float) -> float:
    """Return the largest increase of the exponent, up to `remaining`, that keeps enough particles effective."""
    low, high = 0.0, remaining
    if _effective_share(remaining * likelihood) >= _MIN_EFFECTIVE:
        return remaining
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _effective_share(middle * likelihood) >= _MIN_EFFECTIVE else (low, middle)
    return max(low, 1e-9 * remaining)


def _effective_share(log_weights: Float) -> float:
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / np.sum(weights**2) / len(weights))


def _resample(weights: Float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return indices by systematic resampling (Carpenter, Clifford and Fearnhead 1999), of the least variance."""
    n = len(weights)
    picks = np.searchsorted(np.cumsum(weights), (np.arange(n) + rng.random()) / n)
    return np.asarray(np.minimum(picks, n - 1), dtype=np.int64)


def _proposal_root(state: Float) -> Float:
    """Return the root of the covariance of an optimally scaled random walk (Roberts, Gelman and Gilks 1997)."""
    p = state.shape[1]
    covariance = np.cov(state.T).reshape(p, p) + 1e-8 * np.eye(p)
    return np.asarray(np.linalg.cholesky(covariance) * 2.38 / np.sqrt(p))
