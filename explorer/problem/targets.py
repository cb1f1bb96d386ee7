"""Declared targets: measured quantities that a user adds to the built-in ones, such as mAP, perplexity or tokens/s.

Which names are targets is a vocabulary of the process, as the built-in columns are: it is complete before a table is
read. A study, a model file and a result folder carry the targets that they need and declare them on reading; an object
that crosses to another process declares its targets there.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from explorer.errors import WrongUsage
from explorer.units import SYMBOLS, factor

Interval = Literal["none", "counts", "given", "bootstrap"]
TARGET_NAME = r"[A-Za-z][A-Za-z0-9_]{0,49}"
_BUILT_IN_TARGETS = ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes", "throughput_ops")
# Endings of columns that are made from targets.
_DERIVED_ENDING = re.compile(r"_(?:lo|hi|worst|best|p\d+)$")


@dataclass(frozen=True)
class Target:
    """Measured quantity of a design, as its user declares it.

    Args:
        name: of its column.
        direction: `max` where more is better, `min` where less is.
        unit: of its values; a multiple of an SI unit (MB) is shown, its values are in SI.
        range: the values it can have; infinite ends are open. By default any positive ones, compared by ratios.
        interval: how the uncertainty of a value is known: `counts` of right answers (n_right, n_samples), `given` as
            columns NAME_lo and NAME_hi (90 %), by `bootstrap` of the samples (as given, in live studies), or `none`.
    """

    name: str
    direction: Literal["min", "max"] = "min"
    unit: str = ""
    range: tuple[float, float] = (0.0, math.inf)
    interval: Interval = "none"

    def __post_init__(self) -> None:
        _DECLARED.pop(self.name, None)  # the newest declaration stands last
        _DECLARED[self.name] = self

    def __reduce__(self) -> tuple[type["Target"], tuple[Any, ...]]:
        """Return how it is made again in another process, where it is declared thereby."""
        return Target, (self.name, self.direction, self.unit, self.range, self.interval)

    @property
    def symbol(self) -> str:
        """Unit of the stored values: the SI unit of a known quantity (B for MB), else the unit itself."""
        return next((symbol for symbol in SYMBOLS if _is_multiple(self.unit, symbol)), self.unit)

    @property
    def is_share(self) -> bool:
        """Whether both ends of its range are finite, as those of an accuracy are."""
        return math.isfinite(self.range[0]) and math.isfinite(self.range[1])

    @property
    def is_positive(self) -> bool:
        """Whether its values are above zero without an upper end, so that ratios compare them."""
        return self.range[0] >= 0 and not self.is_share

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values; open ends are null."""
        ends = [end if math.isfinite(end) else None for end in self.range]
        return {
            "name": self.name, "direction": self.direction, "unit": self.unit, "range": ends, "interval": self.interval
        }  # fmt: skip


def target_from_json(data: Mapping[str, Any]) -> Target:
    """Return the target of plain JSON values and declare it.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    name, (low, high) = str(data["name"]), data["range"]
    ends = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    is_named = re.fullmatch(TARGET_NAME, name) and not _DERIVED_ENDING.search(name) and name not in _BUILT_IN_TARGETS
    if not is_named or data["direction"] not in {"min", "max"} or data["interval"] not in get_args(Interval):
        raise ValueError(f"{name:.60} is not the declaration of a target")
    return Target(name, data["direction"], str(data["unit"])[:30], ends, data["interval"])


def targets_json(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the declared targets among some names as plain JSON values, for files that use them."""
    return [target.to_json() for target in map(declared_target, dict.fromkeys(names)) if target is not None]


def check_target_name(name: str, *, taken: Iterable[str]) -> None:
    """Raise `WrongUsage` unless a name can be that of a declared target."""
    if not re.fullmatch(TARGET_NAME, name):
        fix = "take letters, digits and _, at most 50; --map NAME=COLUMN names the file's column"
        raise WrongUsage(f"'{name}' cannot be the name of a target", fix=fix)
    if _DERIVED_ENDING.search(name) or name in set(taken):
        raise WrongUsage(f"'{name}' cannot be the name of a target: explorer defines it", fix="choose another name")


def declared_target(name: str) -> Target | None:
    """Return the declared target of a name; None for a built-in column or an unknown name."""
    return _DECLARED.get(name)


def declared_targets() -> tuple[Target, ...]:
    """Return all declared targets of this process."""
    return tuple(_DECLARED.values())


def is_relative(name: str) -> bool:
    """Return whether a target is compared by ratios, and has a logarithm: no share, and no value of any sign."""
    target = _DECLARED.get(name)
    return name != "accuracy" if target is None else target.is_positive


def share_range(name: str) -> tuple[float, float] | None:
    """Return both ends of the range of a share, which has log-odds; None for any other target."""
    if name == "accuracy":
        return 0.0, 1.0
    target = _DECLARED.get(name)
    return target.range if target is not None and target.is_share else None


def kind_of(name: str) -> str:
    """Return the built-in target whose forms and priors a target has: accuracy for a share of which more is better.

    mAP, IoU or F1 fall with compression as accuracy does: from a plateau over a cliff, and never with the clock.
    """
    target = _DECLARED.get(name)
    return "accuracy" if target is not None and target.is_share and target.direction == "max" else name


class TargetNames(Sequence[str]):
    """Names of all targets: the built-in ones, then the declared ones."""

    def __getitem__(self, index: Any) -> Any:
        return tuple(self)[index]

    def __len__(self) -> int:
        return len(_BUILT_IN_TARGETS) + len(_DECLARED)

    def __iter__(self) -> Iterator[str]:
        return iter((*_BUILT_IN_TARGETS, *_DECLARED))

    def __contains__(self, name: object) -> bool:
        return name in _BUILT_IN_TARGETS or name in _DECLARED


def _is_multiple(unit: str, symbol: str) -> bool:
    if not unit:
        return False
    try:
        factor(unit, symbol)
    except WrongUsage:
        return False
    return True


_DECLARED: dict[str, Target] = {}
