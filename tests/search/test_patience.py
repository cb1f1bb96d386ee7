"""Patience with a storage that is away: long enough, not for ever, and only where it is away."""

from collections.abc import Callable

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import IntegrityError, OperationalError

from explorer.search.patience import PATIENCE_S, Patience, StorageLost, is_away


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def away_until(clock: Clock, moment: float) -> Callable[[], str]:
    def do() -> str:
        if clock.now < moment:
            raise ConnectionRefusedError("Connection refused")
        return "done"

    return do


def test_two_minutes_are_waited_through_and_both_ends_are_told() -> None:
    clock, said = Clock(), list[str]()
    patience = Patience("the database", say=said.append, sleep=clock.sleep, clock=clock)

    assert patience(away_until(clock, 120.0)) == "done"
    assert PATIENCE_S >= 120
    assert said == [
        "the database does not answer (Connection refused); trying again for 180 s",
        "the database answers again",
    ]


def test_a_connection_that_was_merely_cut_is_not_worth_a_word() -> None:
    clock, said = Clock(), list[str]()

    assert Patience("x", say=said.append, sleep=clock.sleep, clock=clock)(away_until(clock, 0.1)) == "done"
    assert said == []


def test_a_storage_that_does_not_come_back_is_given_up() -> None:
    clock = Clock()
    patience = Patience("the database", say=lambda _: None, seconds=30, sleep=clock.sleep, clock=clock)
    with pytest.raises(StorageLost, match=r"the database has not answered for 30 s: Connection refused\n  fix: see"):
        patience(away_until(clock, 1e9))

    assert 30 < clock.now < 40


def test_what_is_wrong_is_not_repeated() -> None:
    calls = []

    def do() -> None:
        calls.append(1)
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        Patience("x", say=lambda _: None)(do)

    assert calls == [1]


def _internal(cause: Exception) -> StorageInternalError:
    error = StorageInternalError("an exception is raised during the commit")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(OperationalError("select", {}, Exception("server closed")), True, id="operational"),
        pytest.param(_internal(OperationalError("select", {}, Exception("gone"))), True, id="wrapped by Optuna"),
        pytest.param(_internal(IntegrityError("insert", {}, Exception("twice"))), False, id="a real mistake"),
        pytest.param(StorageInternalError("?"), False, id="nothing known"),
        pytest.param(OSError(28, "No space left on device"), False, id="full disk"),
        pytest.param(BrokenPipeError(), True, id="connection"),
    ],
)
def test_only_what_may_pass_counts_as_away(error: Exception, expected: bool) -> None:
    assert is_away(error) is expected
