"""TEMPORARY: replaced by the storage branch."""

from optuna.trial import TrialState, create_trial

from explorer.search.block import Block as _B
from explorer.search.block import Recorded
from explorer.search.record import record as _record


class Block(_B):
    def __init__(self, *, state=TrialState.COMPLETE, **k):
        super().__init__(**k)
        object.__setattr__(self, "state", state)


def record(study, block):
    if getattr(block, "state", TrialState.COMPLETE) == TrialState.FAIL:
        t = create_trial(
            state=TrialState.FAIL,
            params={n: v[0] for n, v in block.params.items()},
            distributions=dict(block.distributions),
            user_attrs={n: v[0] for n, v in block.user_attrs.items()},
            system_attrs={n: v[0] for n, v in block.system_attrs.items()},
        )
        study.add_trial(t)
        return Recorded([len(study.get_trials(deepcopy=False)) - 1], "")
    return _record(study, block)


def finish_enqueued(study, trial, *, params, distributions, state, values, constraints, user_attrs, system_attrs):
    s, i = study._storage, trial._trial_id
    if trial.state == TrialState.WAITING:
        s.set_trial_state_values(i, state=TrialState.RUNNING)
    for n, v in params.items():
        s.set_trial_param(i, n, distributions[n].to_internal_repr(v), distributions[n])
    for n, v in user_attrs.items():
        s.set_trial_user_attr(i, n, v)
    for n, v in system_attrs.items():
        s.set_trial_system_attr(i, n, v)
    for n, v in constraints.items():
        s.set_trial_system_attr(i, "constraints:" + n, v)
    s.set_trial_state_values(i, state=state, values=values)
