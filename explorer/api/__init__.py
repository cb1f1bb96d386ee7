"""What the commands do, for Python: load a study, run it, look at its front, choose one design, ship it."""

from explorer.api.choosing import choose, describe
from explorer.api.looking import compare, dashboard, explain, write_report
from explorer.api.place import RESULTS_FOLDER, results, results_folder
from explorer.api.running import Outcome, load, run
from explorer.api.shipping import deploy, verify
from explorer.api.working import Work, proxy, worker

__all__ = [
    "RESULTS_FOLDER",
    "Outcome",
    "Work",
    "choose",
    "compare",
    "dashboard",
    "deploy",
    "describe",
    "explain",
    "load",
    "proxy",
    "results",
    "results_folder",
    "run",
    "verify",
    "worker",
    "write_report",
]
