"""MultiResponse: several fitted targets as one evaluator, each from its own table of measurements."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import UnknownName, WrongUsage
from explorer.io.files import sha256
from explorer.models.response.diagnostics import duplicated_knobs, outlier_warnings, target_warnings
from explorer.models.response.input_scaling import KnobSpec
from explorer.models.response.response import N_DRAWS, Response, ResponseDraws, draw_response
from explorer.models.response.selection import fit_response
from explorer.models.samples.samples import Samples
from explorer.problem.applicability import Range
from explorer.problem.columns import TARGETS, Columns, Float, by_family, n_rows, stack, take

_LOG_RATIO = 4.0
_ALL = "all"  # what the one family is called where no knob tells families apart


@dataclass(frozen=True, slots=True)
class KnobColumns:
    """A table of measurements.

    Args:
        samples: knobs and targets, shape (n,) each.
        knobs: which columns are knobs, and what they are.
        groups: rows that are left out together when forms are judged, shape (n,).
    """

    samples: Samples
    knobs: tuple[KnobSpec, ...]
    groups: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class MultiResponse:
    """Fitted targets that answer for the same designs; each needs only the knobs of its own table.

    Args:
        name: how it was named.
        samples: all tables one below the other; a knob or target that a table lacks is NaN (a category: empty).
        responses: one for each target.
    """

    name: str
    samples: Samples
    responses: Mapping[str, Response]

    @property
    def is_vectorized(self) -> bool:
        """Thousands of designs are predicted in a blink."""
        return True

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns it adds, in the project's order."""
        known = tuple(name for name in TARGETS if name in self.responses)
        return (*known, *(name for name in self.responses if name not in known))

    @property
    def knobs(self) -> tuple[KnobSpec, ...]:
        """Every knob that a target needs, in order of appearance."""
        return tuple({knob.name: knob for r in self.responses.values() for knob in r.knobs}.values())

    @property
    def families(self) -> tuple[str, ...]:
        """The families that it can predict at least one target of."""
        named = [r.coordinates.levels["family"] for r in self.responses.values() if _has_family(r)]
        return tuple(dict.fromkeys(name for names in named for name in names)) or (_ALL,)

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the targets that were measured in one family."""
        return tuple(
            t for t in self.targets if family in _families(self.responses[t]) or not _has_family(self.responses[t])
        )

    @property
    def domain(self) -> Mapping[str, Mapping[str, Range]]:
        """For each family, the span of each numeric knob in which all of its targets have samples."""
        return {family: self._spans(family) for family in self.families}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user must know of the samples, and of fits that explain little."""
        return self.samples.notes

    def law(self, family: str) -> AlphaPowerLaw | None:  # noqa: ARG002 - an Evaluator is asked by family
        """Return None: tables of any knobs tell of operating points, not of a V-f law."""
        return None

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with predicted columns and their distance outside the samples' range, shape (n,) each.

        A target that was never measured in a family is NaN there.

        Raises:
            UnknownName: a family, or another level of a category, that was never measured.
        """
        self._check(designs)
        predicted = {target: self._filled(target, designs) for target in self.targets}
        return {**designs, **predicted, "domain_distance": self._distance(designs)}

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return the levels of each category knob but the family that all of a family's targets were measured at."""
        found: dict[str, tuple[str, ...]] = {}
        for target in self.targets_of(family):
            for name, levels in self.responses[target].coordinates.levels.items():
                if name != "family":
                    found[name] = tuple(level for level in found.get(name, levels) if level in levels)
        return found

    def posterior(self, *, n: int = N_DRAWS, seed: int = 0) -> Mapping[str, ResponseDraws]:
        """Return n draws of every target, independent between targets; the same seed gives the same draws."""
        seeds = np.random.SeedSequence(seed).generate_state(len(self.responses)).tolist()
        drawn = zip(self.targets, seeds, strict=True)
        return {target: draw_response(self.responses[target], n=n, seed=seed) for target, seed in drawn}

    def drawn(self, draws: Mapping[str, ResponseDraws], designs: Columns, *, with_noise: bool) -> Columns:
        """Return every target of the designs in every draw, shape (S, n) each; NaN for families without data."""
        result = {}
        for target, drawn in draws.items():
            rows = self.known(target, designs)
            result[target] = np.full((len(drawn.theta), n_rows(designs)), np.nan)
            result[target][:, rows] = drawn.at(take(designs, rows), with_noise=with_noise)
        return result

    def draws(self, designs: Columns, *, n: int = N_DRAWS, seed: int = 0, with_noise: bool = True) -> Columns:
        """Return every target of the designs in every draw, shape (n, number of designs) each."""
        return self.drawn(self.posterior(n=n, seed=seed), designs, with_noise=with_noise)

    def known(self, target: str, designs: Columns) -> NDArray[np.bool_]:
        """Tell for which designs a target was measured in their family, shape (n,)."""
        response = self.responses[target]
        if not _has_family(response):
            return np.full(n_rows(designs), fill_value=True)
        names, index = by_family(designs["family"])
        return np.array([name in _families(response) for name in names], dtype=np.bool_)[index]

    def _filled(self, target: str, designs: Columns) -> Float:
        result, rows = np.full(n_rows(designs), np.nan), self.known(target, designs)
        result[rows] = self.responses[target].predict(take(designs, rows))
        return result

    def _check(self, designs: Columns) -> None:
        if "family" in designs and any(_has_family(r) for r in self.responses.values()):
            for name in by_family(designs["family"])[0]:
                if name not in self.families:
                    raise UnknownName("family", name, self.families)

    def _spans(self, family: str) -> dict[str, Range]:
        spans: dict[str, Range] = {}
        for target in self.targets_of(family):
            response = self.responses[target]
            own = response.samples["family"] == family if _has_family(response) else slice(None)
            for name, axis in response.coordinates.scales.items():
                values = response.samples[name][own]
                is_log = axis.scale in {"log", "step"}
                # A step of 0 is "not quantized": a logarithm starts at the floor that stands for it.
                low = max(float(values.min()), axis.floor) if is_log else float(values.min())
                span = Range(low, max(float(values.max()), low), is_log)
                spans[name] = _common(spans[name], span) if name in spans else span
        return spans

    def _distance(self, designs: Columns) -> Float:
        n, domain = n_rows(designs), self.domain
        has_family = "family" in designs and _ALL not in domain
        names, index = by_family(designs["family"]) if has_family else ([*domain][:1], np.zeros(n, dtype=np.int64))
        result = np.zeros(n)
        for i, name in enumerate(names):
            rows = index == i
            for knob, span in domain[name].items():
                values = np.asarray(designs[knob][rows], dtype=np.float64)
                if knob == "quant_step" and self._knows_unquantized:
                    values = np.where(values == 0, span.low, values)
                result[rows] = np.maximum(result[rows], span.distance(values))
        return result

    @property
    def _knows_unquantized(self) -> bool:
        """Whether a step of 0 was measured: then it is no extrapolation, far as its logarithm is from all others."""
        return any((r.samples["quant_step"] == 0).any() for r in self.responses.values() if "quant_step" in r.samples)


def measured_knobs(samples: Samples) -> tuple[KnobSpec, ...]:
    """Return what each knob is: names are a category, numbers spread over a factor of four or more count by factors."""
    columns = samples.columns
    return tuple(
        KnobSpec(name, "category")
        if columns[name].dtype == object
        else KnobSpec(name, "number", _is_log(columns[name]))
        for name in samples.knobs
    )


def with_knobs(samples: Samples) -> KnobColumns:
    """Return samples with their knobs; one that another determines in every row is left out.

    It would take half of the other's effect, and a search that moves both would ask for what cannot be.
    """
    knobs = measured_knobs(samples)
    copies = duplicated_knobs(samples.columns, knobs=knobs)
    return KnobColumns(samples, tuple(knob for knob in knobs if knob.name not in copies or knob.name == "family"))


def _is_log(values: NDArray[Any]) -> bool:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return low > 0 and high > _LOG_RATIO * low


def _remarks(table: KnobColumns, responses: Mapping[str, Response]) -> Iterator[str]:
    """Yield what is odd about a table's measurements, with the rows' numbers in its file."""
    columns, numbers = table.samples.columns, table.samples.numbers or None
    for name, source in duplicated_knobs(columns, knobs=measured_knobs(table.samples)).items():
        yield f"{name} is a function of {source} in every row: it adds nothing and is left out"
    for target in table.samples.targets:
        values = columns[target]
        yield from target_warnings(target, columns, values, knobs=table.knobs, numbers=numbers)
        yield from outlier_warnings(responses[target], columns, values, numbers=numbers)
        yield from responses[target].warnings


def fit_responses(tables: Sequence[KnobColumns], *, name: str) -> MultiResponse:
    """Fit every target of some tables; each table tells of its own targets alone.

    Raises:
        WrongUsage: two tables measure the same target, none measures any, or one cannot be fitted.
    """
    responses: dict[str, Response] = {}
    for table in tables:
        columns = table.samples.columns
        for target in table.samples.targets:
            if target in responses:
                raise WrongUsage(f"two tables measure {target}", fix="put its rows into one table, or drop one column")
            responses[target] = fit_response(
                target, columns, columns[target], knobs=table.knobs, groups=table.groups,
                trials=table.samples.trials,
            )  # fmt: skip
    if not responses:
        raise WrongUsage("no target was measured", fix=f"give one of {', '.join(TARGETS)}")
    samples = concat([table.samples for table in tables])
    remarks = [text for table in tables for text in _remarks(table, responses)]
    return MultiResponse(name, replace(samples, notes=tuple(dict.fromkeys((*samples.notes, *remarks)))), responses)


def concat(tables: Sequence[Samples]) -> Samples:
    """Return tables of samples one below the other; what a table lacks is NaN, in columns of text empty."""
    names = dict.fromkeys(name for table in tables for name in table.columns)
    is_text = {name: any(t.columns[name].dtype == object for t in tables if name in t.columns) for name in names}
    filled = [
        {
            name: table.columns[name]
            if name in table.columns
            else np.full(
                len(table.labels), "" if is_text[name] else np.nan, dtype=object if is_text[name] else np.float64
            )
            for name in names
        }
        for table in tables
    ]
    labels = tuple(label for table in tables for label in table.labels)
    source = "; ".join(dict.fromkeys(table.source for table in tables))
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    digest = tables[0].sha256 if len(tables) == 1 else sha256("".join(table.sha256 for table in tables))
    return Samples(stack(filled), labels, source, digest, notes)


def _has_family(response: Response) -> bool:
    return "family" in response.coordinates.levels


def _families(response: Response) -> tuple[str, ...]:
    return response.coordinates.levels.get("family", (_ALL,))


def _common(a: Range, b: Range) -> Range:
    """Return where two spans overlap; the first where they do not."""
    low, high = max(a.low, b.low), min(a.high, b.high)
    return Range(low, high, a.is_log) if low <= high else a
