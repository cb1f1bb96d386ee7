"""Multi-objective design-space explorer for energy-efficient neural-network deployment.

In a notebook:

    import explorer
    outcome = explorer.run("edp-accuracy", trials=500)
    outcome.results.front()                     # a pandas DataFrame
    explorer.plot.front(outcome.results)        # a plotly figure
    explorer.choose(outcome.results, knee=True)
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from explorer import api
from explorer.api import __all__

if TYPE_CHECKING:
    from explorer.api import *  # noqa: F403

__version__ = "0.1.0"


class _PublicNames(ModuleType):
    """Module whose public names stay functions when a subpackage of the same name (`explorer.deploy`) is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _PublicNames


def __getattr__(name: str) -> Any:
    return getattr(api, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
