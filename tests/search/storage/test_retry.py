"""Retry policy: duration, timeout, and the errors that are retried."""

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import IntegrityError, OperationalError

from explorer.search.storage.retry import RETRY_TIMEOUT_S, RetryPolicy, StorageUnavailable, is_transient


class Storage:
    """Storage that is unreachable until a time of a simulated clock, which advances only in `sleep`."""

    def __init__(self, until: float) -> None:
        self.now, self.until = 0.0, until
        self.messages: list[str] = []

    def __call__(self) -> str:
        if self.now < self.until:
            raise ConnectionRefusedError("Connection refused")
        return "done"

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def call(self, timeout_s: float = RETRY_TIMEOUT_S) -> str:
        notify, clock = self.messages.append, lambda: self.now
        return RetryPolicy("the database", notify=notify, timeout_s=timeout_s, sleep=self.sleep, clock=clock)(self)


def test_outage_of_two_minutes_is_retried_with_messages() -> None:
    storage, cut = Storage(until=120.0), Storage(until=0.1)

    assert storage.call() == cut.call() == "done"
    assert RETRY_TIMEOUT_S >= 120
    assert storage.messages == [
        "the database does not answer (Connection refused); retrying for up to 180 s",
        "the database answers again",
    ]
    assert cut.messages == []  # a single broken connection


def test_retry_timeout_raises_storage_unavailable() -> None:
    storage = Storage(until=1e9)
    with pytest.raises(
        StorageUnavailable, match=r"the database has not answered for 30 s: Connection refused\n  fix: make sure"
    ):
        storage.call(timeout_s=30)

    assert 30 < storage.now < 40


def test_permanent_errors_are_not_retried() -> None:
    calls = []

    def do() -> None:
        calls.append(1)
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        RetryPolicy("x", notify=lambda _: None)(do)

    assert calls == [1]


def internal(cause: Exception) -> StorageInternalError:
    error = StorageInternalError("an exception is raised during the commit")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(OperationalError("select", {}, Exception("server closed")), True, id="operational"),
        pytest.param(internal(OperationalError("select", {}, Exception("gone"))), True, id="wrapped by Optuna"),
        pytest.param(internal(IntegrityError("insert", {}, Exception("twice"))), False, id="a real mistake"),
        pytest.param(StorageInternalError("?"), False, id="nothing known"),
        pytest.param(OSError(28, "No space left on device"), False, id="full disk"),
        pytest.param(BrokenPipeError(), True, id="connection"),
    ],
)
def test_only_connection_errors_are_transient(error: Exception, expected: bool) -> None:
    assert is_transient(error) is expected
