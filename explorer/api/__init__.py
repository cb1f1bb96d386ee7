"""What the commands do, for Python: load a study, run it, look at its front, choose one design, ship it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.api.analysis import compare, dashboard, explain, write_report
    from explorer.api.deployment import deploy, verify
    from explorer.api.results import RESULTS_FOLDER, results, results_folder
    from explorer.api.selection import choose, describe
    from explorer.api.studies import Outcome, load, run

# A module is imported when one of its names is first used: who reads results waits for no search and no model.
_HOMES = {
    "RESULTS_FOLDER": "place",
    "Outcome": "running",
    "choose": "choosing",
    "compare": "looking",
    "dashboard": "looking",
    "deploy": "shipping",
    "describe": "choosing",
    "explain": "looking",
    "load": "running",
    "results": "place",
    "results_folder": "place",
    "run": "running",
    "verify": "shipping",
    "write_report": "looking",
}
__all__ = [
    "RESULTS_FOLDER",
    "Outcome",
    "choose",
    "compare",
    "dashboard",
    "deploy",
    "describe",
    "explain",
    "load",
    "results",
    "results_folder",
    "run",
    "verify",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'explorer.api' has no attribute '{name}'")
    return getattr(import_module(f"explorer.api.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__]
