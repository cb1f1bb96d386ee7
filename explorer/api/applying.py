"""Applying a choice to a device: the study's model is asked again, at the device's own operating point."""

from collections.abc import Sequence
from typing import Any

from explorer.api.running import load
from explorer.errors import WrongUsage
from explorer.models.assessment import Assessment
from explorer.pareto.applied import apply_to
from explorer.pareto.results import Results
from explorer.problem.constraints import Constraint
from explorer.problem.device import device_points
from explorer.search.begin import fingerprint


def applied(
    found: Results,
    design: dict[str, Any],
    *,
    device: str,
    bin_name: str,
    conditions: Sequence[Constraint],
    allow_extrapolation: bool,
) -> dict[str, Any]:
    """Return what `chosen.json` holds of a design at a device's point with the nearest clock.

    Raises:
        WrongUsage: the device, or the study with its samples, is not there or not usable.
        NoFeasibleDesign: there, a condition is not met, or the model extrapolates.
    """
    points = device_points(device, bin_name=bin_name)
    there = apply_to(
        design, assessment=_asked_of(found), points=points, conditions=conditions,
        allow_extrapolation=allow_extrapolation,
    )  # fmt: skip
    return {
        "device": device,
        "bin": bin_name,
        "operating_point": there.point,
        "design": there.design,
        "is_extrapolated": there.is_extrapolated,
    }


def _asked_of(found: Results) -> Assessment:
    """Load the study that results are of, and see that its model still rests on the same samples.

    Raises:
        WrongUsage: the study is not where it was, or its samples have changed.
    """
    path = str(found.provenance.get("study", {}).get("file", found.study))
    loaded = load(path)
    now, then = fingerprint(loaded.evaluator), found.provenance.get("model", {})
    if now.get("samples_sha256") != then.get("samples_sha256"):
        raise WrongUsage(f"{path}: its samples have changed since the run", fix=f"explorer run {path}")
    return loaded
