"""Multi-target response: fitted targets from one or more tables of samples as one evaluator."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import UnknownName, WrongUsage
from explorer.io.files import sha256
from explorer.models.response.diagnostics import duplicated_knobs, outlier_warnings, target_warnings
from explorer.models.response.response import N_DRAWS, Response, ResponseDraws, draw_response
from explorer.models.response.selection import fit_response
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples, shared_machine
from explorer.problem.applicability import Range
from explorer.problem.columns import TARGETS, Columns, Float, by_family, n_rows, stack, take

_LOG_RATIO = 4.0  # a positive knob whose values span more than this factor is scaled by its logarithm
_ALL = "all"  # name of the family of a model without a family column


@dataclass(frozen=True, slots=True)
class KnobColumns:
    """Table of samples with the declaration of its knobs.

    Args:
        samples: knobs and targets, shape (n,) each.
        knobs: declarations of the knobs among the columns.
        groups: label of each row's fold in cross-validation, shape (n,).
    """

    samples: Samples
    knobs: tuple[KnobSpec, ...]
    groups: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class MultiResponse:
    """Evaluator of several fitted targets; each needs only the knobs of its own table.

    Args:
        name: of the model, as in messages.
        samples: all tables concatenated; a knob or target that a table lacks is NaN (a category: empty).
        responses: one for each target.
    """

    name: str
    samples: Samples
    responses: Mapping[str, Response]

    def __repr__(self) -> str:
        return f"MultiResponse({self.name}: {', '.join(self.responses)} of {', '.join(self.families)})"

    @property
    def is_vectorized(self) -> bool:
        """True: large tables of designs can be predicted at once."""
        return True

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns it adds, in the order of `TARGETS`."""
        ordered = tuple(name for name in TARGETS if name in self.responses)
        return (*ordered, *(name for name in self.responses if name not in ordered))

    @property
    def knobs(self) -> tuple[KnobSpec, ...]:
        """All knobs that any target needs, in order of appearance."""
        return tuple({knob.name: knob for r in self.responses.values() for knob in r.knobs}.values())

    @property
    def families(self) -> tuple[str, ...]:
        """The families with at least one predictable target."""
        named = [r.coordinates.levels["family"] for r in self.responses.values() if _has_family(r)]
        return tuple(dict.fromkeys(name for names in named for name in names)) or (_ALL,)

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the targets measured in one family."""
        return tuple(
            t for t in self.targets if family in _families(self.responses[t]) or not _has_family(self.responses[t])
        )

    @property
    def domain(self) -> Mapping[str, Mapping[str, Range]]:
        """Range of each numeric knob, by family, in which all of the family's targets have samples."""
        return {family: self._spans(family) for family in self.families}

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user on the samples and on poor fits."""
        return self.samples.notes

    def law(self, family: str) -> AlphaPowerLaw | None:  # noqa: ARG002 - interface of an Evaluator
        """Return None: a V-f law is not fitted to tables of arbitrary knobs."""
        return None

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with predicted columns and their distance outside the samples' range, shape (n,) each.

        A target not measured in a design's family is NaN.

        Raises:
            UnknownName: a family, or another level of a category, is not among the samples.
        """
        self._check_families(designs)
        predicted = {target: self._predict(target, designs) for target in self.targets}
        return {**designs, **predicted, "domain_distance": self._domain_distance(designs)}

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return the levels of each category knob (except family) at which all of a family's targets were measured."""
        choices: dict[str, tuple[str, ...]] = {}
        for target in self.targets_of(family):
            for name, levels in self.responses[target].coordinates.levels.items():
                if name != "family":
                    choices[name] = tuple(level for level in choices.get(name, levels) if level in levels)
        return choices

    def posterior(self, *, n: int = N_DRAWS, seed: int = 0) -> Mapping[str, ResponseDraws]:
        """Return n posterior draws of every target, independent between targets; reproducible for a seed."""
        seeds = np.random.SeedSequence(seed).generate_state(len(self.responses)).tolist()
        return {
            target: draw_response(self.responses[target], n=n, seed=target_seed)
            for target, target_seed in zip(self.targets, seeds, strict=True)
        }

    def evaluate_draws(self, draws: Mapping[str, ResponseDraws], designs: Columns, *, with_noise: bool) -> Columns:
        """Return every target of the designs in every draw, shape (S, n) each; NaN for families without data."""
        result = {}
        for target, target_draws in draws.items():
            rows = self.is_measured(target, designs)
            result[target] = np.full((len(target_draws.theta), n_rows(designs)), np.nan)
            result[target][:, rows] = target_draws.evaluate(take(designs, rows), with_noise=with_noise)
        return result

    def draws(self, designs: Columns, *, n: int = N_DRAWS, seed: int = 0, with_noise: bool = True) -> Columns:
        """Return every target of the designs in every draw, shape (n, number of designs) each."""
        return self.evaluate_draws(self.posterior(n=n, seed=seed), designs, with_noise=with_noise)

    def is_measured(self, target: str, designs: Columns) -> NDArray[np.bool_]:
        """Return a mask of the designs in whose family a target was measured, shape (n,)."""
        response = self.responses[target]
        if not _has_family(response):
            return np.full(n_rows(designs), fill_value=True)
        names, index = by_family(designs["family"])
        return np.array([name in _families(response) for name in names], dtype=np.bool_)[index]

    def _predict(self, target: str, designs: Columns) -> Float:
        result, rows = np.full(n_rows(designs), np.nan), self.is_measured(target, designs)
        result[rows] = self.responses[target].predict(take(designs, rows))
        return result

    def _check_families(self, designs: Columns) -> None:
        if "family" in designs and any(_has_family(r) for r in self.responses.values()):
            for name in by_family(designs["family"])[0]:
                if name not in self.families:
                    raise UnknownName("family", name, self.families)

    def _spans(self, family: str) -> dict[str, Range]:
        spans: dict[str, Range] = {}
        for target in self.targets_of(family):
            response = self.responses[target]
            rows = response.samples["family"] == family if _has_family(response) else slice(None)
            for name, scale in response.coordinates.scales.items():
                values = response.samples[name][rows]
                is_log = scale.scale in {"log", "step"}
                # A step of 0 (not quantized) is represented by the scale's floor, since log(0) is not finite.
                low = max(float(values.min()), scale.floor) if is_log else float(values.min())
                span = Range(low, max(float(values.max()), low), is_log)
                spans[name] = _intersect(spans[name], span) if name in spans else span
        return spans

    def _domain_distance(self, designs: Columns) -> Float:
        n, domain = n_rows(designs), self.domain
        has_family = "family" in designs and _ALL not in domain
        names, index = by_family(designs["family"]) if has_family else ([*domain][:1], np.zeros(n, dtype=np.int64))
        result = np.zeros(n)
        for i, name in enumerate(names):
            rows = index == i
            for knob, span in domain[name].items():
                values = np.asarray(designs[knob][rows], dtype=np.float64)
                if knob == "quant_step" and self._has_unquantized:
                    values = np.where(values == 0, span.low, values)
                result[rows] = np.maximum(result[rows], span.distance(values))
        return result

    @property
    def _has_unquantized(self) -> bool:
        """True if a step of 0 was measured: it is then inside the domain, although its logarithm is far from others."""
        return any((r.samples["quant_step"] == 0).any() for r in self.responses.values() if "quant_step" in r.samples)


def measured_knobs(samples: Samples) -> tuple[KnobSpec, ...]:
    """Infer the declaration of each knob: names are a category, numbers that span more than a factor of 4 are log."""
    columns = samples.columns
    return tuple(
        KnobSpec(name, "category")
        if columns[name].dtype == object
        else KnobSpec(name, "number", _is_log(columns[name]))
        for name in samples.knobs
    )


def with_knobs(samples: Samples) -> KnobColumns:
    """Return samples with their knobs, without knobs that are a function of another one.

    A redundant knob would take half of the other's effect, and a search could propose infeasible combinations.
    """
    knobs = measured_knobs(samples)
    copies = duplicated_knobs(samples.columns, knobs=knobs)
    return KnobColumns(samples, tuple(knob for knob in knobs if knob.name not in copies or knob.name == "family"))


def _is_log(values: NDArray[Any]) -> bool:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return low > 0 and high > _LOG_RATIO * low


def _data_warnings(table: KnobColumns, responses: Mapping[str, Response]) -> Iterator[str]:
    """Yield warnings about a table's measurements, with the rows' numbers in its file."""
    columns, numbers = table.samples.columns, table.samples.numbers or None
    for name, source in duplicated_knobs(columns, knobs=measured_knobs(table.samples)).items():
        yield f"{name} is a function of {source} in every row: it adds no information and is left out of the fit"
    for target in table.samples.targets:
        values = columns[target]
        yield from target_warnings(target, columns, values, knobs=table.knobs, numbers=numbers)
        yield from outlier_warnings(responses[target], columns, values, numbers=numbers)
        yield from responses[target].warnings


def fit_responses(tables: Sequence[KnobColumns], *, name: str) -> MultiResponse:
    """Fit every target of the tables, each from its own table.

    Raises:
        WrongUsage: two tables measure the same target, no table measures a target, or a target cannot be fitted.
    """
    responses: dict[str, Response] = {}
    for table in tables:
        columns = table.samples.columns
        for target in table.samples.targets:
            if target in responses:
                raise WrongUsage(f"two tables measure {target}", fix="put its rows into one table, or drop one column")
            responses[target] = fit_response(
                target, columns, columns[target], knobs=table.knobs, groups=table.groups,
                n_counted=table.samples.n_counted,
            )  # fmt: skip
    if not responses:
        raise WrongUsage("no target was measured", fix=f"give one of {', '.join(TARGETS)}")
    samples = concat([table.samples for table in tables])
    warnings = [text for table in tables for text in _data_warnings(table, responses)]
    return MultiResponse(name, replace(samples, notes=tuple(dict.fromkeys((*samples.notes, *warnings)))), responses)


def concat(tables: Sequence[Samples]) -> Samples:
    """Concatenate tables of samples; a column that a table lacks is filled with NaN, or empty text."""
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
    return Samples(stack(filled), labels, source, digest, notes, machine=shared_machine(tables))


def _has_family(response: Response) -> bool:
    return "family" in response.coordinates.levels


def _families(response: Response) -> tuple[str, ...]:
    return response.coordinates.levels.get("family", (_ALL,))


def _intersect(a: Range, b: Range) -> Range:
    """Return the intersection of two ranges, or the first if they are disjoint."""
    low, high = max(a.low, b.low), min(a.high, b.high)
    return Range(low, high, a.is_log) if low <= high else a
