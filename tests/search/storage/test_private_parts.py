"""Optuna's private names: used by one module only, each listed here, and each present in the installed Optuna."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage, _CachedStorage

import explorer.search.storage.bulk
from explorer.search.storage.journal import BatchedJournalBackend

HOME = Path(explorer.search.storage.bulk.__file__)
ROOT = HOME.parents[2]
MODULES = sorted(path for path in ROOT.rglob("*.py") if "_shipped" not in path.parts)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_exit"  # os._exit is public


def private_names(path: Path) -> Iterator[str]:
    """Yield the private names that a module imports from Optuna, or takes from any object but its own `self`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}):
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "optuna":
            is_inside = any(map(is_private, str(node.module).split(".")))
            yield from (alias.name for alias in node.names if is_inside or is_private(alias.name))
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (".".join(name) for name in names if name[0] == "optuna" and any(map(is_private, name)))


def _study(storage: object = None) -> optuna.Study:
    return optuna.create_study(storage=storage)  # type: ignore[arg-type]


def _models() -> object:
    from optuna.storages._rdb import models

    return models


USED: dict[str, Callable[[Path], bool]] = {
    "_storage": lambda _: hasattr(_study(), "_storage"),
    "_study_id": lambda _: hasattr(_study(), "_study_id"),
    "_trial_id": lambda _: hasattr(_study().ask(), "_trial_id") and hasattr(optuna.create_trial(value=1), "_trial_id"),
    "_backend": lambda folder: (
        isinstance(_CachedStorage(RDBStorage(f"sqlite:///{folder}/study.db"))._backend, RDBStorage)
        and isinstance(JournalStorage(BatchedJournalBackend(journal(folder)))._backend, BatchedJournalBackend)
    ),
    "_CachedStorage": lambda folder: isinstance(_study(f"sqlite:///{folder}/study.db")._storage, _CachedStorage),
    "NOT_FOUND_MSG": lambda _: hasattr(_models(), "NOT_FOUND_MSG"),
    "StudyModel": lambda _: hasattr(_models().StudyModel, "study_id"),  # type: ignore[attr-defined]
    "BaseModel": lambda _: (
        {"studies", "trials", "trial_params", "trial_values", "trial_user_attributes", "trial_system_attributes"}
        <= _models().BaseModel.metadata.tables.keys()  # type: ignore[attr-defined]
    ),
    "TrialValueModel": lambda _: len(_models().TrialValueModel.value_to_stored_repr(1.0)) == 2,  # type: ignore[attr-defined]
}


def journal(folder: Path) -> Path:
    (folder / "study.journal").touch()
    return folder / "study.journal"


@pytest.mark.slow
def test_private_optuna_names_are_used_by_one_module_only() -> None:
    used = {path: names for path in MODULES if (names := set(private_names(path)))}

    assert used == {HOME: USED.keys()}


@pytest.mark.parametrize("name", USED)
def test_installed_optuna_has_the_private_name(name: str, tmp_path: Path) -> None:
    assert USED[name](tmp_path), f"Optuna {optuna.__version__} has no {name}"
