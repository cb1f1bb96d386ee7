"""Submitted designs of a measured study, and their outcomes."""

import datetime
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from explorer.errors import ExplorerError
from explorer.problem.columns import Columns
from explorer.search.execution.candidates import Candidate


@dataclass(slots=True, eq=False)
class Job:
    """Submitted design, with its number of worker failures; `user_attrs` are further ones of its trial."""

    candidate: Candidate
    knobs: Mapping[str, Any]
    n_worker_failures: int = 0
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    future: Future[Any] | None = None
    began: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """Stored COMPLETE trial."""

    number: int
    columns: Columns
    values: Sequence[float]
    constraints: Mapping[str, float]
    user_attrs: Mapping[str, Any]


Outcome = StoredTrial | BaseException
"""WorkerLost leads to a retry, DesignFailed to a FAIL trial; any other error ends the search."""


class DesignFailed(Exception):
    """Failed measurement of one design, with its ExplorerError."""

    def __init__(self, error: ExplorerError) -> None:
        super().__init__(error.problem)
        self.error = error
