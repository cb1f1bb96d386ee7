"""Server of optuna-dashboard for one stored study; it accepts notes and no other changes."""

import importlib
import importlib.util
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import numpy as np
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from explorer.errors import MissingPart, WrongUsage, suggestion
from explorer.pareto.geometry.dominance import feasible_front
from explorer.pareto.results.folder import read_provenance
from explorer.problem.objectives import OBJECTIVES
from explorer.search.dashboard.read_only_view import ReadOnlyStorage
from explorer.search.storage.open import JOURNAL_NAME, journal_path, open_storage
from explorer.search.trial_table import is_feasible_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_NOTE_PATH = re.compile(r"/api/studies/\d+(/\d+)?/note/?")
_READ_METHODS = frozenset({"GET", "HEAD"})
_MAX_BODY = 1_000_000
_REFUSAL = "explorer shows this study read-only; only notes are stored"
# Module and function of the best trials, which `feasible_best` replaces.
_APP, _BEST = "optuna_dashboard._app", "get_pareto_front_trials"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """optuna-dashboard on an open port; `serve` answers requests."""

    url: str
    server: WSGIServer

    def serve(self) -> None:
        """Answer requests until interrupted."""
        self.server.serve_forever()

    def close(self) -> None:
        """Free the port."""
        self.server.server_close()


def open_dashboard(storage: BaseStorage, study_name: str, *, host: str, port: int) -> Dashboard:
    """Open a port for optuna-dashboard with one study; port 0 selects a free one.

    Raises:
        MissingPart: optuna-dashboard is not installed.
        WrongUsage: the study does not exist, or the port cannot be opened.
    """
    app = dashboard_app(storage, study_name)
    study_id = storage.get_study_id_from_name(study_name)
    try:
        server = make_server(host, port, app, server_class=_Server, handler_class=_QuietHandler)
    except (OSError, OverflowError) as error:
        cause = getattr(error, "strerror", None) or error
        raise WrongUsage(
            f"cannot listen on {host}:{port}: {cause}", fix="choose another port with --port (0 selects a free one)"
        ) from None
    return Dashboard(f"http://{host}:{server.server_port}/dashboard/studies/{study_id}", server)


def dashboard_app(storage: BaseStorage, study_name: str) -> "WSGIApplication":
    """Return optuna-dashboard for one study as a WSGI application.

    Raises:
        MissingPart: optuna-dashboard is not installed.
        WrongUsage: the study does not exist, or the version of optuna-dashboard is not supported.
    """
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise MissingPart("optuna-dashboard", needed_for="`explorer dashboard`", extra="dashboard")
    import optuna_dashboard

    names = [study.study_name for study in storage.get_all_studies()]
    if study_name not in names:
        raise WrongUsage(f"the storage has no study '{study_name}'", fix=suggestion(study_name, names or ["none"]))
    module = importlib.import_module(_APP)
    if not hasattr(module, _BEST):
        raise WrongUsage(
            f"optuna-dashboard {optuna_dashboard.__version__} would show infeasible trials among the best",
            fix="pip install 'optuna-dashboard<0.22'",
        )
    setattr(module, _BEST, feasible_best)
    return _refuse_writes(optuna_dashboard.wsgi(ReadOnlyStorage(storage, storage.get_study_id_from_name(study_name))))


def feasible_best(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Return the non-dominated feasible COMPLETE trials; optuna-dashboard 0.21 ignores constraints."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        return []
    signs = np.array([-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions])
    values = np.array([trial.values for trial in complete], dtype=np.float64) * signs
    any_minimized = [OBJECTIVES["energy_j"]] * len(signs)
    is_best = feasible_front(values, is_feasible_of(complete), any_minimized)
    return [complete[i] for i in np.flatnonzero(is_best)]


def find_study(folder: Path, storage_url: str | None) -> tuple[BaseStorage, str]:
    """Return the storage of a result folder's trials, and the study's name in it; never create one.

    Args:
        folder: a result folder, or the path of a future one.
        storage_url: storage of the trials; None for the folder's journal file.

    Raises:
        WrongUsage: the trials do not exist.
        InvalidFile: a file is corrupt.
        MissingPart: the database's driver is not installed.
    """
    provenance = read_provenance(folder)
    if storage_url is None and not (folder / JOURNAL_NAME).is_file():
        raise WrongUsage(
            f"{folder}: its trials are in another storage", fix=f"name it: --storage {provenance.get('storage', 'URL')}"
        )
    path = journal_path(storage_url, folder)
    if storage_url is not None and storage_url.startswith("sqlite:///"):
        path = Path(storage_url.removeprefix("sqlite:///").partition("?")[0])
    if path is not None and not path.is_file():
        raise WrongUsage(f"{path}: contains no trials", fix="give the --storage with which the study was run")
    storage = open_storage(storage_url, folder)
    study = provenance.get("study")
    name = str(study["name"]) if isinstance(study, dict) and "name" in study else folder.name
    names = [stored.study_name for stored in storage.get_all_studies()]
    # The name of a folder need not be that of its study, and it has a provenance only after the first run.
    return storage, names[0] if storage_url is None and len(names) == 1 else name


def _refuse_writes(app: "WSGIApplication") -> "WSGIApplication":
    """Refuse all requests that write more than a note; the page shows the reason."""

    def respond(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        is_note = environ["REQUEST_METHOD"] == "PUT" and _NOTE_PATH.fullmatch(environ["PATH_INFO"])
        if environ["REQUEST_METHOD"] in _READ_METHODS or is_note:
            return app(environ, start_response)
        length = environ.get("CONTENT_LENGTH") or "0"
        # With an unread body the system resets the connection before the client has read the answer.
        environ["wsgi.input"].read(min(int(length), _MAX_BODY) if length.isdecimal() else 0)
        body = json.dumps({"reason": _REFUSAL}).encode()
        start_response("403 Forbidden", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return respond


class _Server(ThreadingMixIn, WSGIServer):
    """Server with a daemon thread for each request: a page sends several at the same time."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    """Handler without a log in the terminal."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Do nothing."""
