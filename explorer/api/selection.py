"""Selection of one design from a front, and its description as text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer.api.results import HasResults, as_results
from explorer.errors import WrongUsage
from explorer.pareto.decision import rules as decide
from explorer.pareto.decision.rules import Choice
from explorer.pareto.results.results import Results, no_feasible_design
from explorer.problem.columns import COLUMNS, Column, bounds, own_knobs
from explorer.problem.columns import column_of as meaning_of
from explorer.problem.constraints import Constraint, parse_constraint
from explorer.problem.objectives import Constants
from explorer.problem.scenarios.declared import worst_case_limit

__all__ = ["Choice", "choose", "describe_design"]


def choose(
    study_or_folder: str | Path | Results | HasResults,
    *,
    knee: bool = False,
    alpha: float | None = None,
    energy_max_j: float | None = None,
    minimize: str | None = None,
    design: int | None = None,
    where: Sequence[str] = (),
    allow_extrapolation: bool = False,
    device: str | None = None,
    bin_name: str = "",
) -> Choice:
    """Choose one design from a front by one rule.

    Args:
        study_or_folder: a study that was run here, a result folder, or results.
        knee: choose where the front bends most.
        alpha: choose the least weighted cost, Eq. (10).
        energy_max_j: E_max of the weighted cost; default: the study's.
        minimize: choose the best value of this column.
        design: choose this design.
        where: conditions such as 'accuracy >= 0.9'.
        allow_extrapolation: take designs outside the model's domain as well.
        device: apply the choice to this device: the operating point with the nearest clock, evaluated again;
            `record` holds both, and a warning unless the model's samples were measured on this device.
        bin_name: the device's speed bin, where its table has several.

    Raises:
        WrongUsage: there are no results, or a rule, condition or device cannot be used.
        NoFeasibleDesign: no design meets the conditions inside the domain.
    """
    rules = {"knee": knee or None, "alpha": alpha, "minimize": minimize, "design": design}
    if len(chosen := [name for name, value in rules.items() if value is not None]) > 1:
        raise WrongUsage(f"{' and '.join(chosen)} given", fix="give one of knee, alpha, minimize, design")
    if isinstance(where, str):
        raise WrongUsage("where is a text", fix=f"give a list: [{where!r}]")
    results = as_results(study_or_folder)
    candidates = results.front_columns
    if design is None and not results.is_front.any():
        raise no_feasible_design(results)
    if design is not None:
        candidates, rule = decide.one_design(results, design)
    elif alpha is not None:
        declared = results.provenance.get("question", {}).get("energy_max_j", Constants().energy_max_j)
        rule = decide.by_alpha(candidates, alpha=alpha, energy_max_j=declared if energy_max_j is None else energy_max_j)
    elif minimize is not None:
        rule = decide.by_column(candidates, minimize)
    elif knee:
        rule = decide.knee(results, candidates)
    else:
        raise WrongUsage("no rule given", fix="give one of knee, alpha, minimize, design")
    own = [name for name in own_knobs(candidates) if candidates[name].dtype != object]
    conditions = in_every_scenario(results, [parse_constraint(text, where="--where", own=own) for text in where])
    lacking = [c.column for c in conditions if c.column not in candidates]
    if lacking:
        raise WrongUsage(f"the results have no column {', '.join(lacking)}", fix=f"it has {', '.join(candidates)}")
    choice = decide.choose_design(
        results, rule=rule, candidates=candidates, conditions=conditions, allow_extrapolation=allow_extrapolation
    )
    payload = {
        "schema": "explorer.chosen/1",
        "study": results.study,
        "rule": {"name": choice.rule, "text": choice.why, "where": [condition.text for condition in conditions]},
        "design": choice.design,
        "runner_up": choice.runner_up,
        "price_of_accuracy": choice.price,
        "is_extrapolated": choice.is_extrapolated,
        "is_measured": choice.is_measured,
        **_machine(results),
        "provenance": dict(results.provenance),
    }
    payload |= _binding_scenarios(results, choice.design)
    if device is not None:
        # Imported here: only this option needs the model, and the whole engine with it.
        from explorer.api.analysis import apply_to_device

        payload["applied"], check = apply_to_device(
            results, choice.design, device=device, bin_name=bin_name, conditions=conditions,
            allow_extrapolation=allow_extrapolation,
        )  # fmt: skip
        payload["machine"] = check.machine
        payload["warnings"] = list(dict.fromkeys([*payload["warnings"], *filter(None, [check.text])]))
    return replace(choice, record=payload)


def in_every_scenario(results: Results, conditions: Sequence[Constraint]) -> list[Constraint]:
    """Return conditions of the worst case where the limits of the study hold in every scenario, else unchanged."""
    is_worst_case = results.provenance.get("question", {}).get("scenario", {}).get("mode") == "worst"
    return [worst_case_limit(one) if is_worst_case else one for one in conditions]


def _binding_scenarios(results: Results, design: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of chosen.json with the scenario that binds each limit; none where the study has none."""
    if "scenario" not in results.provenance.get("question", {}):
        return {}
    # Imported here: only a study with scenarios needs the model, and the whole engine with it.
    from explorer.api.analysis import binding_scenarios_of

    return {"scenarios": binding_scenarios_of(results, design)}


def _machine(results: Results) -> dict[str, Any]:
    """Return the entries of chosen.json on the machine of the model and the devices whose points were searched."""
    devices = results.provenance.get("devices", ())
    return {
        "machine": str(results.provenance.get("machine", "")),
        "is_other_machine": any(entry["relation"] == "other" for entry in devices),
        "warnings": [entry["text"] for entry in devices if entry["text"]],
    }


def describe_design(design: Mapping[str, Any], columns: Mapping[str, Column] | None = None) -> list[str]:
    """Return a design's columns as lines of text, with intervals where they are knobs.

    Args:
        design: its columns.
        columns: units and labels of the user's own knobs; default: derived from their names.
    """
    lines = []
    own = [name for name in design if name in own_knobs(dict.fromkeys(design, np.empty(0)))]
    knobs = [name for name, column in COLUMNS.items() if column.kind == "knob"]
    for name in [*knobs, *own, *[name for name in COLUMNS if name not in knobs]]:
        value, column = design.get(name), (columns or {}).get(name) or meaning_of(name)
        if isinstance(value, str):
            lines.append(f"{column.label}: {value}")
        elif value is not None and math.isfinite(float(value)):
            low, high = (design.get(end) for end in bounds(name))
            span = ""
            if low is not None and high is not None and math.isfinite(float(low)):
                span = f" ({column.text(float(low))} to {column.text(float(high))})"
            lines.append(f"{column.label}: {column.text(float(value))}{span}")
    return lines
