"""The guard of a study's identity: trials of one question are never mixed with those of another."""

import json
from typing import Any

from optuna.study import Study as OptunaStudy

from explorer.errors import WrongUsage
from explorer.files import sha256
from explorer.problem.study import declaration_text

_DECLARATION = "explorer:declaration"
_HASH = "explorer:declaration_sha256"


def guard(optuna_study: OptunaStudy, declaration: dict[str, Any], *, path: object, place: str) -> None:
    """Mark a new study with its declaration, or see that a stored one asks the same question.

    Args:
        optuna_study: the stored study.
        declaration: what defines the question, the model's samples included.
        path: the study's file, for messages.
        place: where its trials are kept, for messages.

    Raises:
        WrongUsage: the stored study asks another question, or was not made by explorer.
    """
    text = declaration_text(declaration)
    stored = optuna_study.user_attrs
    if _HASH not in stored:
        # Who finds trials looks again: another worker may have begun the study, and its first trials, in between.
        if optuna_study.get_trials(deepcopy=False) and _HASH not in optuna_study.user_attrs:
            raise WrongUsage(
                f"{place}: holds a study '{optuna_study.study_name}' that explorer did not begin",
                fix="choose another folder with --out, or another --storage",
            )
        optuna_study.set_user_attr(_DECLARATION, text)
        optuna_study.set_user_attr(_HASH, sha256(text))
        stored = optuna_study.user_attrs  # another worker may have begun it, with another question, at the same moment
    if stored[_HASH] == sha256(text):
        return
    changed = _differences(json.loads(stored.get(_DECLARATION, "{}")), declaration)
    raise WrongUsage(
        f"{path}: the question has changed since {place} was begun ({', '.join(changed) or 'its declaration'}); trials "
        "of two questions must not be mixed",
        fix="put the declaration back to go on, or begin anew with --out DIR (nothing is overwritten)",
    )


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    result = []
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) == now.get(key):
            continue
        old, new = json.dumps(before.get(key)), json.dumps(now.get(key))
        result.append(f"{key}: {old} -> {new}" if len(old) + len(new) < 100 else key)
    return result
