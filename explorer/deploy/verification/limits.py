"""Verify the limits of a bundle's design: measured values against the limits that it was chosen under."""

from collections.abc import Iterator, Mapping

from explorer.deploy.bundle.schema import ManifestFile
from explorer.deploy.verification.check import Check, Interval, State
from explorer.problem.columns import base_of_case, column_of
from explorer.problem.constraints import parse_constraint

PROMISED = 0.5  # a limit that was expected to hold with less than this probability is no promise


def check_limits(
    manifest: ManifestFile, measured: Mapping[str, tuple[Interval, str]], *, of_device: frozenset[str]
) -> Iterator[Check]:
    """Yield a check of each limit whose column was measured.

    A limit that was to hold with a probability of at least one half is broken if the whole interval of the measurement
    lies beyond it. If the value alone does, the measurement does not decide.

    Args:
        manifest: of the bundle.
        measured: measured intervals by column, each with its method.
        of_device: columns that this machine cannot judge.
    """
    for one in manifest.limits:
        limit = parse_constraint(one.constraint, own=list(manifest.design.knobs))
        name = base_of_case(limit.column) or limit.column
        if name not in measured:
            continue
        found, method = measured[name]
        sign, column = (1 if limit.sense == "<=" else -1), column_of(name)
        text = f"{limit.sense} {column.text(limit.limit)}"
        if one.probability is not None:
            text += f" with probability {one.probability:.3g}"
        nearest = found.lo if sign > 0 else found.hi
        state: State
        if name in of_device:
            state, note = "not judged", method
        elif sign * (found.value - limit.limit) <= 0:
            state, note = "kept", method
        elif sign * (nearest - limit.limit) <= 0:
            state, note = "not judged", f"{method}; the limit is within the interval"
        elif one.probability is not None and one.probability < PROMISED:
            state, note = "not judged", f"{method}; not met, as expected with probability {1 - one.probability:.2g}"
        else:
            state, note = "broken", f"{method}; the limit is not met"
        yield Check(f"limit of {name}", text, found, state, note)
