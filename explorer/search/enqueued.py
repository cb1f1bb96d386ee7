"""Trials enqueued with plain Optuna, and their parameters."""

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from explorer.search.encoding import Encoding


def is_enqueued(trial: FrozenTrial) -> bool:
    """Return True for an enqueued trial that is not finished."""
    is_started = trial.state == TrialState.RUNNING and "fixed_params" in trial.system_attrs
    return trial.state == TrialState.WAITING or is_started


def params_of(trial: FrozenTrial, encoding: Encoding) -> dict[str, Any]:
    """Return the parameters of a trial, including those fixed when it was enqueued."""
    return dict(encoding.with_row_index({**trial.system_attrs.get("fixed_params", {}), **trial.params}))


def fill_params(trial: FrozenTrial, encoding: Encoding, random: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a trial, missing ones filled from `random`."""
    params = params_of(trial, encoding)
    return {name: params.get(name, value) for name, value in random.items()}


def fault_of(trial: FrozenTrial, encoding: Encoding) -> str:
    """Return the reason why a trial's parameters are outside their distributions, or ''."""
    distributions = encoding.distributions()
    for name, value in params_of(trial, encoding).items():
        if name in distributions:
            try:
                create_trial(values=[0.0], params={name: value}, distributions={name: distributions[name]})
            except (ValueError, TypeError):
                return f"it was enqueued with {name} = {value!r}, which is outside its range or choices"
    return ""
