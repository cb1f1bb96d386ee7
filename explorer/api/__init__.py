"""What the commands do, for Python: load a study, run it, look at its front, choose one design, ship it."""

from explorer.api.choosing import choose, describe
from explorer.api.looking import compare, dashboard, explain, write_report
from explorer.api.place import RESULTS_FOLDER, results, results_folder
from explorer.api.running import Outcome, load, run
from explorer.api.shipping import deploy, verify

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
