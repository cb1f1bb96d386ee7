"""Particles: draws from a posterior that is no bell, moved from the prior to it step by step.

An edge that lies somewhere between two measurements is as likely here as there; a normal around the best place would
deny that. Sequential Monte Carlo (Del Moral, Doucet and Jasra, "Sequential Monte Carlo samplers", JRSS B 68(3), 2006):
the likelihood is let in little by little, and after each step the particles are resampled and moved.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from explorer.problem.columns import Float

_KEEP = 0.5  # share of the particles that a step may leave effective
_MOVES = 2
_MAX_STEPS = 40
_HALVINGS = 12


def smc_sample(
    log_likelihood: Callable[[Float], Float], *, centers: Float, widths: Float, n: int, rng: np.random.Generator
) -> tuple[Float, float]:
    """Return draws from a posterior whose prior is normal, shape (n, p), and the logarithm of its evidence.

    Args:
        log_likelihood: of many coefficients at once, shape (n, p) to shape (n,).
        centers: prior means, shape (p,).
        widths: prior standard deviations, shape (p,).
        n: number of particles.
        rng: draws them.
    """

    def weigh(u: Float) -> Float:
        return np.nan_to_num(log_likelihood(centers + widths * u), nan=-1e12, neginf=-1e12)

    state = rng.standard_normal((n, len(centers)))
    likelihood, power, evidence = weigh(state), 0.0, 0.0
    for _ in range(_MAX_STEPS):
        step = _next_step(likelihood, 1.0 - power)
        power = power + step
        highest = likelihood.max()
        weights = np.exp(step * (likelihood - highest))
        evidence += step * highest + np.log(weights.mean())
        picks = _resampled(weights / weights.sum(), rng)
        root = _spread_of(state[picks])
        state, likelihood = state[picks], likelihood[picks]
        for scale in (1.0, 0.4)[:_MOVES]:
            moved = state + scale * rng.standard_normal(state.shape) @ root.T
            there = weigh(moved)
            gain = power * (there - likelihood) + 0.5 * np.sum(state**2 - moved**2, axis=1)
            is_taken = np.log(rng.random(n)) < gain
            state, likelihood = np.where(is_taken[:, None], moved, state), np.where(is_taken, there, likelihood)
        if power >= 1.0:
            break
    return np.asarray(centers + widths * state), float(evidence)


def _next_step(likelihood: Float, left: float) -> float:
    """Return how much of the likelihood can be let in so that enough particles stay effective."""
    low, high = 0.0, left
    if _effective(left * likelihood) >= _KEEP:
        return left
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _effective(middle * likelihood) >= _KEEP else (low, middle)
    return max(low, 1e-9 * left)


def _effective(log_weights: Float) -> float:
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / np.sum(weights**2) / len(weights))


def _resampled(weights: Float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return systematic picks: the least scatter that resampling can have."""
    n = len(weights)
    picks = np.searchsorted(np.cumsum(weights), (np.arange(n) + rng.random()) / n)
    return np.asarray(np.minimum(picks, n - 1), dtype=np.int64)


def _spread_of(state: Float) -> Float:
    """Return the root of the covariance with which a random walk moves best (Roberts, Gelman and Gilks 1997)."""
    p = state.shape[1]
    covariance = np.cov(state.T).reshape(p, p) + 1e-8 * np.eye(p)
    return np.asarray(np.linalg.cholesky(covariance) * 2.38 / np.sqrt(p))
