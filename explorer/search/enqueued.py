"""Trials that somebody enqueued with plain Optuna: which ones, and with which parameters."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial


def is_enqueued(trial: FrozenTrial) -> bool:
    """Tell whether somebody enqueued a trial with plain Optuna and it is not finished."""
    is_begun = trial.state == TrialState.RUNNING and "fixed_params" in trial.system_attrs
    return trial.state == TrialState.WAITING or is_begun


def asked_params(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial's parameters, those included that were fixed when it was enqueued."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def with_drawn(trial: FrozenTrial, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters of which those that were fixed are the trial's, and the others drawn."""
    asked = asked_params(trial)
    return {name: asked.get(name, value) for name, value in drawn.items()}


def fault_of(trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]) -> str:
    """Return why a trial was enqueued with a value that its knob cannot have; empty where it was not."""
    for name, value in asked_params(trial).items():
        if name in distributions:
            try:
                create_trial(values=[0.0], params={name: value}, distributions={name: distributions[name]})
            except (ValueError, TypeError):
                return f"it was enqueued with {name} = {value!r}, which is outside its range or choices"
    return ""
