"""Waiting time in the queue M/D/1: Poisson arrivals, one server, a service time that is always the same.

Sources: A. K. Erlang, Nyt Tidsskrift for Matematik B 20 (1909) 33-39, for the queue; G. J. Franx, Operations Research
Letters 29 (2001) 221-229, for its waiting time as a sum of positive terms; V. Ramaswami, Stochastic Models 4 (1988)
183-188, for the queue length by a recursion without subtractions; S. Asmussen, Applied Probability and Queues, 2003,
XIII.5, for the exponential tail. Waiting times are in units of the service time.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from explorer.problem.columns import Float

# Beyond so many service times the tail is exponential to 1e-12: the next poles decay by more than e^-2 in each of them.
_N_EXACT = 20
_N_NODES = 2048


def waiting_probability(wait: ArrayLike, utilization: ArrayLike) -> Float:
    """Return the stationary probability that a job waits at most so long before it is served.

    P(W <= x) = e^(-rho (k - x)) sum_{j < k} Q_{k-1-j} (rho (k - x))^j / j! for k - 1 <= x < k, where Q_m is the
    probability of at most m waiting jobs (Franx 2001, eq. 4, one server). Beyond 20 service times
    P(W > x) = (1 - rho) / (rho e^theta - 1) e^(-theta x), with rho (e^theta - 1) = theta.

    Args:
        wait: waiting time in service times, at least 0; any shape.
        utilization: arrival rate times service time, rho, in [0, 1); broadcasts with `wait`.

    Returns:
        Probabilities in [0, 1], in the broadcast shape.

    >>> round(float(waiting_probability(0.0, 0.3)), 6)  # an idle server: 1 - rho
    0.7
    """
    x, rho = np.broadcast_arrays(np.asarray(wait, dtype=np.float64), np.asarray(utilization, dtype=np.float64))
    total = _exact(np.minimum(x, _N_EXACT), rho, _queue_length_probabilities(rho))
    is_far = x > _N_EXACT
    if is_far.any():
        theta = _decay_rate(rho[is_far])
        total[is_far] = 1 - _tail_factor(rho[is_far], theta) * np.exp(-theta * x[is_far])
    return np.asarray(np.minimum(total, 1.0))


def _exact(x: Float, rho: Float, at_most: Float) -> Float:
    """Return P(W <= x) by Franx (2001) for x up to `_N_EXACT`, same shape."""
    k = np.floor(x).astype(np.int64) + 1
    remaining = rho * (k - x)
    term, total = np.exp(-remaining), np.zeros(x.shape)
    for j in range(_N_EXACT + 1):
        index = np.maximum(k - 1 - j, 0)
        total += np.where(j < k, np.take_along_axis(at_most, index[None], axis=0)[0] * term, 0.0)
        term = term * remaining / (j + 1)
    return total


def waiting_quantile(utilization: ArrayLike, probability: float = 0.99) -> Float:
    """Return the waiting time that a job exceeds with probability 1 - `probability`, in service times.

    0 where the server is idle that often, ln(p / (1 - rho)) / rho below one service time, and beyond it a table of
    2,048 exact solutions, interpolated to a relative error below 1e-5.

    Args:
        utilization: arrival rate times service time, rho; any shape.
        probability: between 0 and 1.

    Returns:
        Waiting times, same shape: infinite at a utilization of 1 or more, NaN where it is NaN.

    >>> float(waiting_quantile(0.005)), round(float(waiting_quantile(0.5)), 3)
    (0.0, 3.336)
    """
    rho = np.asarray(utilization, dtype=np.float64)
    nodes, scaled = _quantile_table(probability)
    with np.errstate(divide="ignore", invalid="ignore"):
        long = np.interp(rho, nodes, scaled) / (1 - rho)
        short = np.log(probability / (1 - rho)) / rho
    wait = np.where(rho < nodes[0], np.maximum(short, 0.0), long)
    wait = np.where(rho <= 1 - probability, 0.0, wait)
    return np.where(np.isnan(rho), np.nan, np.where(rho >= 1, np.inf, wait))


@lru_cache(maxsize=8)
def _quantile_table(probability: float) -> tuple[Float, Float]:
    """Return utilizations whose quantile is at least one service time, and their quantiles times 1 - rho."""
    # The quantile is one service time where (1 - rho) e^rho = p; below it the distribution has no other term.
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 - middle) * math.exp(middle) > probability else (low, middle)
    nodes = np.linspace(high, 1.0, _N_NODES)
    inner = nodes[:-1]
    theta = _decay_rate(inner)
    far = np.log(_tail_factor(inner, theta) / (1 - probability)) / theta
    near = inner[far < _N_EXACT]
    at_most = _queue_length_probabilities(near)
    lower, upper = np.ones(len(near)), np.full(len(near), float(_N_EXACT))
    for _ in range(45):
        middle_wait = (lower + upper) / 2
        is_below = _exact(middle_wait, near, at_most) < probability
        lower, upper = np.where(is_below, middle_wait, lower), np.where(is_below, upper, middle_wait)
    exact = np.concatenate([upper, far[len(near) :]])
    # Heavy traffic: the waiting time is exponential with mean rho / (2 (1 - rho)) (J. F. C. Kingman, 1961).
    return nodes, np.append(exact * (1 - inner), -math.log(1 - probability) / 2)


def _queue_length_probabilities(rho: Float) -> Float:
    """Return the probability of at most m waiting jobs, m = 0 to `_N_EXACT`, shape (m, ...).

    The number of jobs in the system, by cuts between n - 1 and n: p_n a_0 = p_0 A_n + sum_{j=1}^{n-1} p_j A_{n-j+1},
    with a_0 the probability of no arrival in a service time and A_k that of k or more.
    """
    n_states = _N_EXACT + 2
    arrivals = [np.exp(-rho)]
    for k in range(1, n_states + 25):
        arrivals.append(arrivals[-1] * rho / k)
    at_least = [np.sum(arrivals[k:], axis=0) for k in range(n_states + 1)]
    states = [1 - rho]
    for n in range(1, n_states):
        flow = states[0] * at_least[n]
        for j in range(1, n):
            flow = flow + states[j] * at_least[n - j + 1]
        states.append(flow / arrivals[0])
    return np.cumsum(states, axis=0)[1:]


def _decay_rate(rho: Float) -> Float:
    """Return theta > 0 with rho (e^theta - 1) = theta, by Newton's method from above; same shape."""
    # f(theta) = ln(1 + theta / rho) - theta is concave: from beyond the root every step falls towards it.
    theta = np.maximum(2 * (1 - rho) / rho, 1e-12) + 1.0
    for _ in range(30):
        step = (np.log1p(theta / rho) - theta) / (1 / (rho + theta) - 1)
        theta = np.maximum(theta - step, 1e-15)
    return np.asarray(theta)


def _tail_factor(rho: Float, theta: Float) -> Float:
    return np.asarray((1 - rho) / (rho + theta - 1))  # rho e^theta = rho + theta
