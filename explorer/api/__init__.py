"""What the commands do, for Python: load a study, run it, look at its front, choose one design, ship it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.api.analysis import compare, dashboard, explain, write_report
    from explorer.api.deployment import deploy, verify
    from explorer.api.results import RESULTS_FOLDER, load_results, results_folder
    from explorer.api.selection import choose, describe
    from explorer.api.studies import Outcome, load_problem, run

# A module is imported when one of its names is first used: who reads results waits for no search and no model.
_HOMES = {
    "RESULTS_FOLDER": "results",
    "Outcome": "studies",
    "choose": "selection",
    "compare": "analysis",
    "dashboard": "analysis",
    "deploy": "deployment",
    "describe": "selection",
    "explain": "analysis",
    "load_problem": "studies",
    "load_results": "results",
    "results_folder": "results",
    "run": "studies",
    "verify": "deployment",
    "write_report": "analysis",
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
    "load_problem",
    "load_results",
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
