"""The Python face: every command under its name, with DataFrames in and out; this is the one list of public names."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.api import plot as plot
    from explorer.api import samplers as samplers
    from explorer.api.analysis import Comparison as Comparison
    from explorer.api.analysis import Explanation as Explanation
    from explorer.api.analysis import compare as compare
    from explorer.api.analysis import dashboard as dashboard
    from explorer.api.analysis import explain as explain
    from explorer.api.analysis import report as report
    from explorer.api.audit import paper as paper
    from explorer.api.deployment import deploy as deploy
    from explorer.api.deployment import verify as verify
    from explorer.api.machine import catalog as catalog
    from explorer.api.machine import doctor as doctor
    from explorer.api.machine import import_opp as import_opp
    from explorer.api.machine import schema as schema
    from explorer.api.measurement import inspect as inspect
    from explorer.api.measurement import measure as measure
    from explorer.api.models import fit as fit
    from explorer.api.models import init as init
    from explorer.api.models import predict as predict
    from explorer.api.models import read_samples as read_samples
    from explorer.api.results import Results as Results
    from explorer.api.results import front as front
    from explorer.api.results import load_results as load_results
    from explorer.api.selection import Choice as Choice
    from explorer.api.selection import choose as choose
    from explorer.api.studies import Problem as Problem
    from explorer.api.studies import Study as Study
    from explorer.api.studies import load_study as load_study
    from explorer.api.studies import run as run
    from explorer.api.studies import study as study
    from explorer.errors import ExplorerError as ExplorerError

# A module is imported when one of its names is first used: reading results waits for no search and no model.
_HOMES = {
    "analysis": ("Comparison", "Explanation", "compare", "dashboard", "explain", "report"),
    "audit": ("paper",),
    "deployment": ("deploy", "verify"),
    "machine": ("catalog", "doctor", "import_opp", "schema"),
    "measurement": ("inspect", "measure"),
    "models": ("fit", "init", "predict", "read_samples"),
    "results": ("Results", "front", "load_results"),
    "selection": ("Choice", "choose"),
    "studies": ("Problem", "Study", "load_study", "run", "study"),
}
_GROUPS = ("plot", "samplers")
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted([*_HOME_OF, *_GROUPS, "ExplorerError"])  # noqa: PLE0605 - one list, not two


def __getattr__(name: str) -> Any:
    if name == "ExplorerError":
        return import_module("explorer.errors").ExplorerError
    if name in _GROUPS:
        return import_module(f"explorer.api.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'explorer' has no attribute '{name}'")
    return getattr(import_module(f"explorer.api.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__]
