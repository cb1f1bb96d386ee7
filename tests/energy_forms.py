"""Independent posteriors of the paper's energy under eight functional forms, by importance sampling in numpy.

Relative to a family's least compressed row: r remaining weights, q bits, v voltage, c clock, T latency. Energy is
exp(level of the family) x form x noise. Levels are flat and the noise variance is scaled inverse chi-square (0.05, 4):
both are integrated out, so that the weight of a coefficient vector is exact.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln, logsumexp

Array = np.ndarray[Any, Any]
Coefficients = dict[str, Array]
NOISE, NOISE_WEIGHT = 0.05, 4.0
N_PRIOR = 100_000


def _logistic(u: Array) -> Array:
    return 1 / (1 + np.exp(-u))


def _share(rng: np.random.Generator, n: int) -> Array:
    return _logistic(rng.standard_normal(n))


def _tilt(rng: np.random.Generator, n: int) -> Array:
    return np.exp(0.3 * rng.standard_normal(n))


def _work(x: Mapping[str, Array], k: Coefficients) -> Array:
    return np.exp(k["tilt"] * np.log(x["r"]) + np.log(x["q"]) / k["tilt"])


@dataclass(frozen=True)
class EnergyForm:
    """Form of the energy: draws of its coefficients from the prior, and its value at relative designs, shape (S, n)."""

    name: str
    prior: Callable[[np.random.Generator, int], Coefficients]
    value: Callable[[Mapping[str, Array], Coefficients], Array]


def _shares(names: str) -> Callable[[np.random.Generator, int], Coefficients]:
    """Return a prior of shares that sum to 1, uniform (Dirichlet with ones), and a tilt."""

    def prior(rng: np.random.Generator, n: int) -> Coefficients:
        shares = rng.dirichlet(np.ones(len(names)), n)
        return {**dict(zip(names, shares.T, strict=True)), "tilt": _tilt(rng, n)}

    return prior


FORMS: dict[str, EnergyForm] = {
    form.name: form
    for form in (
        EnergyForm(
            "fixed : V^2 rq and leakage V T",
            lambda rng, n: {
                "p": _share(rng, n),
                "leak": _logistic(np.log(1 / 3) + 0.3 * rng.standard_normal(n)),
                "tilt": _tilt(rng, n),
            },
            lambda x, k: (
                1 - k["p"] + k["p"] * ((1 - k["leak"]) * _work(x, k) * x["v"] ** 2 + k["leak"] * x["v"] * x["T"])
            ),
        ),
        EnergyForm("fixed : V^2", lambda rng, n: {"p": _share(rng, n)}, lambda x, k: 1 - k["p"] + k["p"] * x["v"] ** 2),
        EnergyForm("V^2", lambda _, n: {"one": np.ones(n)}, lambda x, k: k["one"] * x["v"] ** 2),
        EnergyForm("V^beta", lambda rng, n: {"b": 2 + rng.standard_normal(n)}, lambda x, k: x["v"] ** k["b"]),
        EnergyForm(
            "fixed : rq",
            lambda rng, n: {"p": _share(rng, n), "tilt": _tilt(rng, n)},
            lambda x, k: 1 - k["p"] + k["p"] * _work(x, k),
        ),
        EnergyForm(
            "fixed : rq : V^2",
            _shares("abc"),
            lambda x, k: k["a"] + k["b"] * _work(x, k) + k["c"] * x["v"] ** 2,
        ),
        EnergyForm(
            "fixed : static T : V^2 rq : V^2",
            _shares("abcd"),
            lambda x, k: k["a"] + k["b"] * x["T"] + (k["c"] * _work(x, k) + k["d"]) * x["v"] ** 2,
        ),
        EnergyForm(
            "V^2 (rq)^g",
            lambda rng, n: {"g": 0.3 * np.exp(rng.standard_normal(n))},
            lambda x, k: x["v"] ** 2 * (x["r"] * x["q"]) ** k["g"],
        ),
    )
}


@dataclass(frozen=True)
class EnergyPosterior:
    """Posterior draws of a form's coefficients, noise and family levels.

    Args:
        form: the form.
        coefficients: shape (S, 1) each, with those of the latency (`a`, `latency_tilt`) among them.
        levels: logarithm of the level of each family, shape (S,) each.
        noise: standard deviation of the logarithm, shape (S,).
        log_evidence: up to a constant that all forms share.
        references: numeric knobs of each family's least compressed row.
    """

    form: EnergyForm
    coefficients: Coefficients
    levels: dict[str, Array]
    noise: Array
    log_evidence: float
    references: dict[str, dict[str, float]]

    def energy(self, designs: pd.DataFrame, *, seed: int | None = None) -> Array:
        """Return the energy of designs in J in every draw, shape (S, n); with a seed, of new measurements."""
        x = with_latency(relative(designs, self.references), self.coefficients)
        level = np.stack([self.levels[name] for name in designs["family"]], axis=1)
        logs = level + np.log(self.form.value(x, self.coefficients))
        if seed is not None:
            logs = logs + self.noise[:, None] * np.random.default_rng(seed).standard_normal((len(self.noise), 1))
        return np.asarray(np.exp(logs))


def reference_rows(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the numeric knobs of each family's least compressed row."""
    ordered = rows.sort_values(["pruning_ratio", "quant_step"])
    knobs = ["pruning_ratio", "quant_step", "voltage_v", "frequency_hz"]
    return {str(name): group.iloc[0][knobs].astype(float).to_dict() for name, group in ordered.groupby("family")}


def relative(designs: pd.DataFrame, references: Mapping[str, Mapping[str, float]]) -> dict[str, Array]:
    """Return r, q, v and c of designs, shape (n,) each."""
    base = pd.DataFrame([references[name] for name in designs["family"]])

    def bits(step: Array) -> Array:
        return np.log2(2 / step)

    own, first = ({k: t[k].to_numpy(dtype=float) for k in base} for t in (designs, base))
    return {
        "r": (1 - own["pruning_ratio"]) / (1 - first["pruning_ratio"]),
        "q": bits(own["quant_step"]) / bits(first["quant_step"]),
        "v": own["voltage_v"] / first["voltage_v"],
        "c": own["frequency_hz"] / first["frequency_hz"],
    }


def with_latency(x: dict[str, Array], k: Coefficients) -> dict[str, Array]:
    """Return relative designs with the latency ratio (r^tilt q^(1/tilt))^a / c in every draw, shape (S, n)."""
    work = k["latency_tilt"] * np.log(x["r"]) + np.log(x["q"]) / k["latency_tilt"]
    return {**x, "T": np.exp(k["a"] * work) / x["c"]}


def _log_marginal(log_shape: Array, log_values: Array, family: Array) -> tuple[Array, Array, dict[str, Array]]:
    """Return the log likelihood without levels and noise, residual squares, mean residuals by family; (S,) each."""
    residual = log_values - log_shape
    means = {str(name): residual[:, family == name].mean(axis=1) for name in dict.fromkeys(family.tolist())}
    centred = residual - np.stack([means[name] for name in family], axis=1)
    squares = np.sum(centred**2, axis=1)
    freedom = NOISE_WEIGHT + len(family) - len(means)
    constant = gammaln(freedom / 2) - gammaln(NOISE_WEIGHT / 2) + NOISE_WEIGHT / 2 * np.log(NOISE_WEIGHT * NOISE**2)
    return constant - freedom / 2 * np.log(NOISE_WEIGHT * NOISE**2 + squares), squares, means


def _latency_draws(rows: pd.DataFrame, rng: np.random.Generator, n: int) -> Coefficients:
    """Return n posterior draws of the two coefficients of the latency, shape (n, 1) each."""
    prior = {"a": np.exp(np.log(0.6) + 0.5 * rng.standard_normal(N_PRIOR)), "latency_tilt": _tilt(rng, N_PRIOR)}
    columns = {name: values[:, None] for name, values in prior.items()}
    x = with_latency(relative(rows, reference_rows(rows)), columns)
    log_weight, _, _ = _log_marginal(np.log(x["T"]), np.log(rows["latency_s"].to_numpy()), rows["family"].to_numpy())
    picks = rng.choice(N_PRIOR, n, p=np.exp(log_weight - logsumexp(log_weight)))
    return {name: values[picks] for name, values in columns.items()}


def energy_posterior(form: EnergyForm, rows: pd.DataFrame, *, n: int = 2_000, seed: int = 0) -> EnergyPosterior:
    """Return n posterior draws of a form given measured rows of the paper's knobs, latency and energy."""
    rng = np.random.default_rng(seed)
    prior = {name: u[:, None] for name, u in form.prior(rng, N_PRIOR).items()} | _latency_draws(rows, rng, N_PRIOR)
    references, family = reference_rows(rows), rows["family"].to_numpy()
    x = with_latency(relative(rows, references), prior)
    shape = np.broadcast_to(form.value(x, prior), (N_PRIOR, len(rows)))
    log_weight, squares, means = _log_marginal(np.log(shape), np.log(rows["energy_j"].to_numpy()), family)
    evidence = float(logsumexp(log_weight) - np.log(N_PRIOR))
    picks = rng.choice(N_PRIOR, n, p=np.exp(log_weight - logsumexp(log_weight)))
    freedom = NOISE_WEIGHT + len(rows) - len(means)
    noise = np.sqrt((NOISE_WEIGHT * NOISE**2 + squares[picks]) / rng.chisquare(freedom, n))
    levels = {
        name: mean[picks] + noise / np.sqrt(np.sum(family == name)) * rng.standard_normal(n)
        for name, mean in means.items()
    }
    coefficients = {name: values[picks] for name, values in prior.items()}
    return EnergyPosterior(form, coefficients, levels, noise, evidence, references)


def coverage(front: pd.DataFrame, posterior: EnergyPosterior, *, with_noise: bool = True) -> float:
    """Return the share of (draw, design) in which the energy of a form lies within the intervals of a front.

    Args:
        front: designs with the paper's knobs, `energy_j_lo` and `energy_j_hi`.
        posterior: of the form that is taken as the truth.
        with_noise: the energy is a new measurement instead of the form's own value.
    """
    energy = posterior.energy(front, seed=1 if with_noise else None)
    low, high = front["energy_j_lo"].to_numpy(), front["energy_j_hi"].to_numpy()
    return float(np.mean((low <= energy) & (energy <= high)))
