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
    from explorer.api import Outcome, choose, compare, deploy, explain, load_problem, load_results, run, verify
    from explorer.errors import ExplorerError
    from explorer.models.loading import load_model
    from explorer.models.parametric.surrogate import Surrogate, fit_surrogate
    from explorer.models.quality.leave_one_out import leave_one_out
    from explorer.models.samples.samples import Samples, paper_samples, read_samples
    from explorer.pareto.comparison.compare import Comparison
    from explorer.pareto.results.results import Results
    from explorer.report.plots.comparison import plot_fronts
    from explorer.report.plots.figures import (
        plot_alpha,
        plot_convergence,
        plot_front_3d,
        plot_importance,
        plot_parallel,
    )
    from explorer.report.plots.front import plot_front
    from explorer.search.samplers.learning_sampler import LearningSampler
    from explorer.search.samplers.model_sampler import ModelSampler

# Names are imported when they are first used: `import explorer` alone costs nothing.
_HOMES = {
    "Comparison": "explorer.pareto.comparison.compare",
    "ExplorerError": "explorer.errors",
    "LearningSampler": "explorer.search.samplers.learning_sampler",
    "ModelSampler": "explorer.search.samplers.model_sampler",
    "Outcome": "explorer.api",
    "Results": "explorer.pareto.results.results",
    "Samples": "explorer.models.samples.samples",
    "Surrogate": "explorer.models.parametric.surrogate",
    "fit_surrogate": "explorer.models.parametric.surrogate",
    "leave_one_out": "explorer.models.quality.leave_one_out",
    "choose": "explorer.api",
    "compare": "explorer.api",
    "deploy": "explorer.api",
    "explain": "explorer.api",
    "load_problem": "explorer.api",
    "load_model": "explorer.models.loading",
    "paper_samples": "explorer.models.samples.samples",
    "plot_alpha": "explorer.report.plots.figures",
    "plot_convergence": "explorer.report.plots.figures",
    "plot_front": "explorer.report.plots.front",
    "plot_front_3d": "explorer.report.plots.figures",
    "plot_fronts": "explorer.report.plots.comparison",
    "plot_importance": "explorer.report.plots.figures",
    "plot_parallel": "explorer.report.plots.figures",
    "read_samples": "explorer.models.samples.samples",
    "load_results": "explorer.api",
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
    "load_model",
    "load_problem",
    "load_results",
    "paper_samples",
    "plot_alpha",
    "plot_convergence",
    "plot_front",
    "plot_front_3d",
    "plot_fronts",
    "plot_importance",
    "plot_parallel",
    "read_samples",
    "run",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'explorer' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
