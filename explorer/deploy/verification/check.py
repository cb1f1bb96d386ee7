"""Check of a bundle: promised value, measured value, and whether they agree."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["kept", "broken", "not measured", "not promised", "not judged"]
_TOLERANCE = 1e-9  # relative: a rounding error in the last digit must not break a promise


@dataclass(frozen=True, slots=True)
class Interval:
    """A quantity in SI units with its interval; without one, `lo` and `hi` equal the value."""

    value: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check; `name` is a column or a part of the bundle. The field names are those of the JSON report."""

    name: str
    promised: Interval | str | None
    found: Interval | str | None
    state: State
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        plain = {key: asdict(value) if isinstance(value, Interval) else value
                 for key, value in (("promised", self.promised), ("found", self.found))}  # fmt: skip
        return {"name": self.name, **plain, "state": self.state, "note": self.note}


def make_interval(value: float, low: float | None = None, high: float | None = None) -> Interval:
    """Return a quantity with its interval; without bounds, the interval is the value."""
    return Interval(value, value if low is None else low, value if high is None else high)


def compare_intervals(name: str, promised: Interval | None, found: Interval | None, *, note: str = "") -> Check:
    """Compare the promised with the measured interval: the promise is broken if they are disjoint.

    With a 90 % prediction interval and a 95 % Wilson interval, a promise of a correct model is rarely broken by chance.
    """
    if promised is None:
        return Check(name, None, found, "not promised" if found else "not measured", note)
    if found is None:
        return Check(name, promised, None, "not measured", note)
    slack = _TOLERANCE * max(abs(promised.value), abs(found.value))
    side = "above it" if found.lo > promised.hi + slack else "below it" if found.hi < promised.lo - slack else ""
    full_note = "; ".join(filter(None, (side, note)))
    return Check(name, promised, found, "broken" if side else "kept", full_note)
