"""Weights of forms by their held-out predictive densities (pseudo-BMA+)."""

import numpy as np
from scipy.special import softmax

from explorer.problem.columns import Float

_N_BOOTSTRAP = 1_000


def form_weights(densities: Float) -> Float:
    """Return the weight of each form, shape (K,), summing to 1.

    Pseudo-BMA+ (Yao, Vehtari, Simpson and Gelman 2018): weights in proportion to the exponential of the summed held-out
    log densities, averaged over Bayesian bootstrap weights of the rows. Few rows distinguish forms weakly, and the
    bootstrap keeps the weights from being surer than that.

    Args:
        densities: log predictive density of each held-out row under each form, shape (n, K).
    """
    n, n_forms = densities.shape
    if n_forms == 1 or n == 0:
        return np.full(n_forms, 1 / n_forms)
    shares = np.random.default_rng(0).dirichlet(np.ones(n), _N_BOOTSTRAP)
    return np.asarray(softmax(n * shares @ densities, axis=1).mean(axis=0))
