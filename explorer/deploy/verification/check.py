"""What a check of a bundle says: promised, found, and whether the one agrees with the other."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["kept", "broken", "not measured", "not promised", "not judged"]
_TOLERANCE = 1e-9  # relative; one measured row promised to itself is not broken by its last digit


@dataclass(frozen=True, slots=True)
class Interval:
    """A quantity in SI with its interval; without one, `lo` and `hi` are the value."""

    value: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class Check:
    """One line of what a bundle promises: `name` is a column's where there is one; `note` says more."""

    name: str
    promised: Interval | str | None
    found: Interval | str | None
    state: State
    note: str = ""

    def payload(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        plain = {key: asdict(value) if isinstance(value, Interval) else value
                 for key, value in (("promised", self.promised), ("found", self.found))}  # fmt: skip
        return {"name": self.name, **plain, "state": self.state, "note": self.note}


def make_interval(value: float, low: float | None = None, high: float | None = None) -> Interval:
    """Return a quantity with its interval, or as its own where there is none."""
    return Interval(value, value if low is None else low, value if high is None else high)


def compare_intervals(name: str, promised: Interval | None, found: Interval | None, *, note: str = "") -> Check:
    """Compare two intervals: a promise is broken when they have nothing in common.

    Where the measured interval is a Wilson interval and the promised one holds 90 % of new measurements, a promise
    that is kept by the model is seldom found broken.
    """
    if promised is None:
        return Check(name, None, found, "not promised" if found else "not measured", note)
    if found is None:
        return Check(name, promised, None, "not measured", note)
    slack = _TOLERANCE * max(abs(promised.value), abs(found.value))
    side = "above it" if found.lo > promised.hi + slack else "below it" if found.hi < promised.lo - slack else ""
    told = "; ".join(filter(None, (side, note)))
    return Check(name, promised, found, "broken" if side else "kept", told)
