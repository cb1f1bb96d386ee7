"""Multi-objective design-space explorer for energy-efficient neural-network deployment.

In a notebook:

    import explorer
    outcome = explorer.run("edp-accuracy", trials=500)
    outcome.results.front()                 # a pandas DataFrame
    explorer.plot_front(outcome.results)    # a plotly figure
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from explorer.api import Outcome, choose, compare, deploy, explain, load, results, run, verify
    from explorer.errors import ExplorerError
    from explorer.models.samples import Samples, paper_samples, read_samples
    from explorer.models.store import load_model
    from explorer.models.surrogate import Surrogate, fit_surrogate
    from explorer.models.validation import leave_one_out
    from explorer.pareto.compare import Comparison
    from explorer.pareto.results import Results
    from explorer.report.compare_plot import plot_fronts
    from explorer.report.figures import plot_alpha, plot_convergence, plot_front_3d, plot_importance, plot_parallel
    from explorer.report.front_plot import plot_front
    from explorer.search.learning import LearningSampler
    from explorer.search.model_sampler import ModelSampler

# Names are imported when they are first used: `import explorer` alone costs nothing.
_HOMES = {
    "Comparison": "explorer.pareto.compare",
    "ExplorerError": "explorer.errors",
    "LearningSampler": "explorer.search.learning",
    "ModelSampler": "explorer.search.model_sampler",
    "Outcome": "explorer.api",
    "Results": "explorer.pareto.results",
    "Samples": "explorer.models.samples",
    "Surrogate": "explorer.models.surrogate",
    "fit_surrogate": "explorer.models.surrogate",
    "leave_one_out": "explorer.models.validation",
    "choose": "explorer.api",
    "compare": "explorer.api",
    "deploy": "explorer.api",
    "explain": "explorer.api",
    "load": "explorer.api",
    "load_model": "explorer.models.store",
    "paper_samples": "explorer.models.samples",
    "plot_alpha": "explorer.report.figures",
    "plot_convergence": "explorer.report.figures",
    "plot_front": "explorer.report.front_plot",
    "plot_front_3d": "explorer.report.figures",
    "plot_fronts": "explorer.report.compare_plot",
    "plot_importance": "explorer.report.figures",
    "plot_parallel": "explorer.report.figures",
    "read_samples": "explorer.models.samples",
    "results": "explorer.api",
    "run": "explorer.api",
    "verify": "explorer.api",
}
__all__ = [
    "Comparison",
    "ExplorerError",
    "LearningSampler",
    "ModelSampler",
    "Outcome",
    "Results",
    "Samples",
    "Surrogate",
    "choose",
    "compare",
    "deploy",
    "explain",
    "fit_surrogate",
    "leave_one_out",
    "load",
    "load_model",
    "paper_samples",
    "plot_alpha",
    "plot_convergence",
    "plot_front",
    "plot_front_3d",
    "plot_fronts",
    "plot_importance",
    "plot_parallel",
    "read_samples",
    "results",
    "run",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'explorer' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
