"""Selection bias: how optimistic the accuracy of a design is on the data that chose it among many."""

from collections.abc import Mapping
from math import isfinite, log, sqrt
from typing import Any

from explorer.errors import WrongUsage
from explorer.pareto.results.results import Results
from explorer.problem.columns import HOLDOUT, bounds
from explorer.problem.targets import declared_target, declared_targets

_Z_90 = 1.645  # half width of a 90 % interval in standard deviations


def optimism_bound(accuracy: float, *, n_samples: int, n_designs: int) -> float:
    """Return a bound of the mean excess of the best measured accuracy over the true one: s sqrt(2 ln K).

    The deviation of each of K measured accuracies from its true one has the binomial scatter s = sqrt(p (1 - p) / n).
    The expected maximum of K such deviations is at most s sqrt(2 ln K), however they depend on each other (maximal
    inequality for sub-Gaussian variables: S. Boucheron, G. Lugosi, P. Massart, Concentration Inequalities, 2013,
    theorem 2.5), and with it that of whichever design is chosen. Designs that share their errors scatter less against
    each other, so the real excess is smaller. p is that of Agresti and Coull (1998), (k + 2) / (n + 4), so that an
    accuracy of 1 is not taken for certain.

    Args:
        accuracy: of the chosen design on the data, in [0, 1].
        n_samples: number of samples n, at least 1.
        n_designs: number of measured designs K, at least 1; with one design nothing was chosen, and the bound is 0.

    >>> round(optimism_bound(0.98, n_samples=719, n_designs=40), 4)
    0.0151
    """
    p = (accuracy * n_samples + 2) / (n_samples + 4)
    return sqrt(p * (1 - p) / n_samples) * sqrt(2 * log(n_designs))


def selection_basis(results: Results, design: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry `selection` of chosen.json, as plain JSON values; empty where no data chose the design.

    Live studies alone know the data: a model's samples may come from any.

    Args:
        results: of the study.
        design: the columns of the chosen design.
    """
    data = results.provenance.get("measurement", {}).get("data")
    if results.provenance.get("model", {}).get("kind") != "live" or not isinstance(data, Mapping):
        return {}
    held, n = data.get("holdout"), int(data["n_samples"])
    n_searched = n - int(held["n_samples"]) if held else n
    n_designs = results.n_designs
    selection = {
        "data": str(data["source"]),
        "data_sha256": str(data["sha256"]),
        "n_samples": n_searched,
        "n_designs": n_designs,
        "optimism": _optimism(results, design, n_samples=n_searched, n_designs=n_designs),
    }
    if held:
        measured = {**_held_back_accuracy(design), **_held_back_targets(design)}
        if measured:
            selection["holdout"] = {"share": float(held["share"]), "n_samples": int(held["n_samples"]), **measured}
    return {"selection": selection}


def _held_back_accuracy(design: Mapping[str, Any]) -> dict[str, Any]:
    if HOLDOUT[0] not in design:
        return {}
    values = {name.replace("_holdout", ""): float(design[name]) for name in (HOLDOUT[0], *bounds(HOLDOUT[0]))}
    return {**values, "n_right": int(design[HOLDOUT[1]])}


def _held_back_targets(design: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared targets of a design on the held-back samples; an unknown end of an interval is null."""
    names = [one.name for one in declared_targets() if f"{one.name}_holdout" in design]
    values = {
        name: {
            key: float(value) if value is not None and isfinite(value) else None
            for key, value in zip(("value", "lo", "hi"), map(design.get, _with_bounds(name)), strict=True)
        }
        for name in names
    }  # fmt: skip
    return {"targets": values} if values else {}


def _with_bounds(name: str) -> tuple[str, ...]:
    return (f"{name}_holdout", *bounds(f"{name}_holdout"))


def _optimism(results: Results, design: Mapping[str, Any], *, n_samples: int, n_designs: int) -> float:
    """Return the bound for accuracy; for a declared target, with the scatter that its 90 % interval has."""
    if "accuracy" in design:
        return optimism_bound(float(design["accuracy"]), n_samples=n_samples, n_designs=n_designs)
    named = [one.name for one in results.objectives if declared_target(one.name) and f"{one.name}_lo" in design]
    widths = [float(design[f"{name}_hi"]) - float(design[f"{name}_lo"]) for name in named]
    scatter = next((width / (2 * _Z_90) for width in widths if isfinite(width)), 0.0)
    return scatter * sqrt(2 * log(n_designs))


def refuse_held_back(*names: str | None) -> None:
    """Raise if a rule or condition would choose by the held-back samples.

    Raises:
        WrongUsage: the best of many accuracies on these samples is as optimistic as on the others.
    """
    for name in names:
        if name is not None and "_holdout" in name:
            target = name.partition("_holdout")[0]
            raise WrongUsage(
                f"{name} is held back: a choice by it would make it as optimistic as {target}",
                fix=f"choose by {name.replace('_holdout', '')}, and read {target}_holdout of what was chosen",
            )
