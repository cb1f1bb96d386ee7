"""Selection of one design from a front, and its description as text."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.api.results import RESULTS_FOLDER, HasResults, as_results, results_folder
from explorer.errors import WrongUsage
from explorer.pareto.decision import rules as decide
from explorer.pareto.decision.rules import Choice, odds_lines, odds_text
from explorer.pareto.decision.selection_bias import refuse_held_back, selection_basis
from explorer.pareto.results.results import Results, no_feasible_design
from explorer.problem.columns import COLUMNS, STOPPED, Column, bounds, is_uncertain, n_rows, own_knobs
from explorer.problem.columns import column_of as meaning_of
from explorer.problem.constraints import Constraint, check_probability, parse_constraint, parse_probability
from explorer.problem.objectives import Constants
from explorer.problem.scenarios.declared import worst_case_limit

if TYPE_CHECKING:
    from explorer.models.evaluation import Problem

_RULES = "knee, alpha, minimize, best, design"

__all__ = ["Choice", "choose", "describe_design", "odds_lines", "parse_probability"]


def choose(
    study_or_folder: str | Path | Results | HasResults,
    *,
    knee: bool = False,
    alpha: float | None = None,
    energy_max_j: float | None = None,
    minimize: str | None = None,
    best: str | None = None,
    front_only: bool = False,
    design: int | None = None,
    where: Sequence[str] = (),
    allow_extrapolation: bool = False,
    device: str | None = None,
    bin_name: str = "",
    study: "str | Path | Problem | None" = None,
    confidence: float | None = None,
) -> Choice:
    """Choose one design by one rule: the best value of a column, or a design of the front.

    The best value of a column is that of all feasible designs. Where designs are predicted, the model is solved for it
    again, exactly, so that it is never worse than a finished design; where they are measured, all of them are searched.

    Args:
        study_or_folder: a study that was run here, a result folder, or results.
        knee: choose where the front bends most.
        alpha: choose the least weighted cost, Eq. (10).
        energy_max_j: E_max of the weighted cost; default: the study's.
        minimize: choose the best value of this column: the least, or the greatest where more is better.
        best: the same.
        front_only: take the best value of the column among the designs of the front.
        design: choose this design.
        where: conditions such as 'accuracy >= 0.9'.
        allow_extrapolation: take designs outside the model's domain as well.
        device: apply the choice to this device: the operating point with the nearest clock, evaluated again;
            `record` holds both, and a warning unless the model's samples were measured on this device.
        bin_name: the device's speed bin, where its table has several.
        study: the study of the results, to be solved again; default: the file that their provenance names.
        confidence: ask every limit of the study and every condition of a predicted value jointly with this probability,
            where it states none itself.

    Raises:
        WrongUsage: there are no results, or a rule, condition or device cannot be used.
        NoFeasibleDesign: no design meets the conditions inside the domain.
    """
    rules = {"knee": knee or None, "alpha": alpha, "minimize": minimize, "best": best, "design": design}
    if len(chosen := [name for name, value in rules.items() if value is not None]) > 1:
        raise WrongUsage(f"{' and '.join(chosen)} given", fix=f"give one of {_RULES}")
    if isinstance(where, str):
        raise WrongUsage("where is a text", fix=f"give a list: [{where!r}]")
    results = as_results(study_or_folder)
    column = minimize if minimize is not None else best
    own = [name for name in own_knobs(results.table) if results.table[name].dtype != object]
    read = [parse_constraint(text, where="--where", own=own) for text in where]
    stated = [parse_constraint(text, own=own) for text in results.constraints]
    conditions = in_every_scenario(results, read)
    refuse_held_back(column, *(c.column for c in conditions))
    if confidence is not None:
        conditions = [one.at(check_probability(confidence)) for one in (*stated, *conditions)]
    elif any(one.probability is not None for one in conditions):  # those of the study hold jointly with them
        conditions = [*(one for one in stated if one.probability is not None), *conditions]
    conditions = list(dict.fromkeys(conditions))
    limits = tuple({one.nominal: one for one in (*stated, *conditions)}.values())
    load = cache(partial(_problem, results, study_or_folder, study))
    if column is not None and not front_only:
        answer = _answer(results, column, conditions, load=load, is_inside=not allow_extrapolation)
        if not n_rows(answer.candidates):
            raise no_feasible_design(results)
    else:
        answer = _answer_of_front(
            results, knee=knee, alpha=alpha, energy_max_j=energy_max_j, column=column, design=design
        )
        if any(one.probability is not None for one in conditions):
            answer = _with_chances(answer, conditions, load())
    lacking = [c.column for c in conditions if c.column not in answer.candidates]
    if lacking:
        raise WrongUsage(
            f"the results have no column {', '.join(lacking)}", fix=f"it has {', '.join(answer.candidates)}"
        )
    choice = decide.choose_design(results, answer, conditions=conditions, allow_extrapolation=allow_extrapolation)
    payload = {
        "schema": "explorer.chosen/2",
        "study": results.study,
        "rule": {"name": choice.rule, "text": choice.why, "where": [condition.text for condition in conditions]},
        "design": choice.design,
        "runner_up": choice.runner_up,
        "price_of_accuracy": choice.price,
        "is_extrapolated": choice.is_extrapolated,
        "is_measured": choice.is_measured,
        "is_solved": choice.is_solved,
        "notes": [*_read_as(where, read), *answer.notes],
        **_machine(results),
        **selection_basis(results, choice.design),
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
    shown = payload["applied"]["design"] if device is not None else choice.design
    odds = _odds(shown, limits, load=load, is_stored=not conditions and device is None)
    payload |= odds
    payload["warnings"] = [*filter(None, [odds_text(odds)]), *payload["warnings"]]
    return replace(choice, record=payload)


def _answer_of_front(
    results: Results, *, knee: bool, alpha: float | None, energy_max_j: float | None, column: str | None,
    design: int | None,
) -> decide.Answer:  # fmt: skip
    """Return the front with the rule that selects one of its designs; or one finished design.

    Raises:
        WrongUsage: there is no rule, or it cannot be used.
        NoFeasibleDesign: there is no front, or the design is not feasible.
    """
    if design is not None:
        return decide.Answer(*decide.one_design(results, design))
    if not results.is_front.any():
        raise no_feasible_design(results)
    front = results.front_columns
    if alpha is not None:
        declared = results.provenance.get("question", {}).get("energy_max_j", Constants().energy_max_j)
        energy_max = declared if energy_max_j is None else energy_max_j
        return decide.Answer(front, decide.by_alpha(front, alpha=alpha, energy_max_j=energy_max))
    if column is not None:
        return decide.Answer(front, decide.by_column(front, decide.column_meant(front, column)))
    if not knee:
        raise WrongUsage("no rule given", fix=f"give one of {_RULES}")
    return decide.Answer(front, decide.knee(results, front))


def _answer(
    results: Results, asked: str, conditions: Sequence[Constraint], *, load: "Callable[[], Problem | str]",
    is_inside: bool,
) -> decide.Answer:  # fmt: skip
    """Return the candidates for the best value of a column: all feasible designs, with the optimum of the model."""
    # Imported here: only this rule needs the model, and the whole engine with it.
    from explorer.pareto.decision.question import answer_from_designs, problem_for_question

    column = decide.column_meant(results.table, asked)
    problem = problem_for_question(results, [column, *(c.column for c in conditions)], load=load)
    return answer_from_designs(results, column, conditions, problem=problem, is_inside=is_inside)


def _problem(
    results: Results, source: str | Path | Results | HasResults, study: "str | Path | Problem | None"
) -> "Problem | str":
    """Return the study of results with its model, loaded again, or the reason why it cannot be."""
    # Imported here: with the whole engine.
    from explorer.models.evaluation import Problem
    from explorer.pareto.results.origin import problem_of_results

    if isinstance(study, Problem):
        return study
    if "measurement" in results.provenance:
        return "every design is measured"
    is_read = not isinstance(source, (str, Path))
    folder = RESULTS_FOLDER / results.study if is_read else results_folder(str(source))
    name = results.study if is_read else str(source)
    return problem_of_results(results.provenance, folder=folder, asked=name if study is None else str(study))


def _with_chances(answer: decide.Answer, conditions: Sequence[Constraint], problem: "Problem | str") -> decide.Answer:
    """Return candidates with the columns that conditions with a probability compare."""
    from explorer.pareto.decision.odds import with_chance_columns

    known = None if isinstance(problem, str) else problem
    return replace(answer, candidates=with_chance_columns(answer.candidates, conditions, problem=known))


def _odds(
    design: Mapping[str, Any], limits: Sequence[Constraint], *, load: "Callable[[], Problem | str]", is_stored: bool
) -> dict[str, Any]:
    """Return the entries of chosen.json on the probability of each limit and of all; none where nothing is limited.

    The run stored those of its own limits with the designs that may be chosen.
    """
    if not any(is_uncertain(one.column) for one in limits):
        return {}
    names = [f"p_limit_{k + 1}" if len(limits) > 1 else "p_limits" for k in range(len(limits))]
    single = [float(design.get(name, math.nan)) for name in names]
    if is_stored and all(map(math.isfinite, single)):
        entries = [{"constraint": one.text, "probability": p} for one, p in zip(limits, single, strict=True)]
        return {"limits": entries, "joint_probability": float(design["p_limits"])}
    from explorer.pareto.decision.odds import limit_odds, odds_entry

    row = {k: np.array([v], dtype=object if isinstance(v, str) else None) for k, v in design.items() if v is not None}
    row.setdefault("design_id", np.array([0]))
    problem = load()
    known = [one for one in limits if one.column in row]
    return odds_entry(limit_odds(row, known, problem=None if isinstance(problem, str) else problem))


def _read_as(where: Sequence[str], conditions: Sequence[Constraint]) -> list[str]:
    """Return a note for each condition whose column was named otherwise."""
    pairs = zip(where, conditions, strict=True)
    return [f"'{text}' is read as {one.text}" for text, one in pairs if not text.lstrip().startswith(one.column)]


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
    # Limits are told apart, and a stopped design is never chosen.
    checks = [name for name in COLUMNS if name not in {*knobs, STOPPED} and not name.startswith("p_limit")]
    for name in [*knobs, *own, *checks]:
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
