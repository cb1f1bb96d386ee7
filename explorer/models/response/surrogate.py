"""Surrogate: fitted targets from one or more tables of samples as one evaluator."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import UnknownName
from explorer.models.diagnostics.collinearity import Collinearity, find_collinear
from explorer.models.diagnostics.warnings import ModelWarning
from explorer.models.fitting.threads import one_thread
from explorer.models.forms.forms import OPERATING_KNOBS, unlink
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs, bits_of
from explorer.models.response.products import Product
from explorer.models.response.response import N_DRAWS, Response, ResponseDraws, draw_response
from explorer.models.response.support import Support, build_supports
from explorer.models.response.tables import KnobColumns, concat
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples
from explorer.problem.applicability import Range
from explorer.problem.columns import TARGETS, Columns, Float, by_configuration, by_family, n_rows, stack, take

THRESHOLD_V = 0.3
THRESHOLD_SOURCE = "assumed: 0.25 to 0.4 V is usual for low-power CMOS of the last fifteen years"
EXPONENT = 1.3
EXPONENT_SOURCE = "Sakurai and Newton 1990: 1.2 to 1.4 for short channels"
_LOG_RATIO = 4.0  # a positive knob whose values span more than this factor is scaled by its logarithm
_ALL = "all"  # name of the family of a model without a family column
_BLOCK = 8192  # designs that are predicted at a time: their columns stay in the cache, a third less time
_FLOAT_BITS = 16.0  # from so many bits on a weight counts as original


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """Evaluator of several fitted targets; each needs only the knobs of its own table.

    Args:
        name: of the model, as in messages: `paper`, or the path of a file.
        tables: the samples.
        responses: one for each modelled target.
        product: the target that is derived from two others; None without one.
        warnings: about the samples and the fit.
        without: names of forms that were left out.
    """

    name: str
    tables: tuple[KnobColumns, ...]
    responses: Mapping[str, Response]
    product: Product | None = None
    warnings: tuple[ModelWarning, ...] = ()
    without: tuple[str, ...] = ()
    # What follows from the other fields is computed once.
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"Surrogate({self.name}: {', '.join(self.targets)} of {', '.join(self.families)})"

    @property
    def is_vectorized(self) -> bool:
        """True: large tables of designs can be predicted at once."""
        return True

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns it adds, in the order of `TARGETS`."""
        names = {*self.responses, *([self.product.target] if self.product else [])}
        return (*(name for name in TARGETS if name in names), *(name for name in self.responses if name not in TARGETS))

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
            target
            for target in self.targets
            if all(family in _families(r) or not _has_family(r) for r in self._factors(target))
        )

    def _factors(self, target: str) -> list[Response]:
        """Return the response of a target, or those that it is derived from."""
        if self.product and target == self.product.target:
            return [self.responses[name] for name in self.product.powers]
        return [self.responses[target]]

    @property
    def domain(self) -> Mapping[str, Mapping[str, Range]]:
        """Range of each numeric knob, by family, in which all of the family's targets have samples."""
        spans: Mapping[str, Mapping[str, Range]] = self._once(
            "domain", lambda: {family: self._spans(family) for family in self.families}
        )
        return spans

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        if name not in self._cache:
            self._cache[name] = compute()
        return self._cache[name]

    @property
    def samples(self) -> Samples:
        """All tables concatenated; a knob or target that a table lacks is NaN (a category: empty)."""
        samples: Samples = self._once("samples", lambda: concat([table.samples for table in self.tables]))
        return samples

    @property
    def laws(self) -> Mapping[str, AlphaPowerLaw]:
        """V-f law of each family that has voltages and clocks."""
        laws: Mapping[str, AlphaPowerLaw] = self._once("laws", lambda: fit_laws(self.samples))
        return laws

    @property
    def ceilings(self) -> Mapping[str, float]:
        """Size of each family's original network, in bytes, where it is measured or stated."""
        ceilings: Mapping[str, float] = self._once("ceilings", lambda: original_sizes(self.samples))
        return ceilings

    @property
    def collinear(self) -> tuple[Collinearity, ...]:
        """Groups of knobs whose effects the samples cannot separate."""
        groups: tuple[Collinearity, ...] = self._once("collinear", lambda: collinear_knobs(self.tables))
        return groups

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user on how the samples were read."""
        return self.samples.notes

    def law(self, family: str) -> AlphaPowerLaw | None:
        """Return the V-f law of a family; None if its samples have no voltages and clocks."""
        return self.laws.get(family)

    def evaluate(self, designs: Columns, *, targets: Collection[str] | None = None) -> Columns:
        """Return the designs with predicted columns and their distance from the samples' support, shape (n,) each.

        A target not measured in a design's family is NaN.

        Args:
            designs: the knobs, shape (n,) each.
            targets: those to predict; default: all.

        Raises:
            UnknownName: a family, or another level of a category, is not among the samples.
        """
        self._check_families(designs)
        modelled = self.modelled(self.targets if targets is None else targets)
        with one_thread():
            predicted = self._predict(modelled, designs)
        completed = self._complete(predicted, designs)
        return {**designs, **completed, "domain_distance": self._domain_distance(designs)}

    def modelled(self, targets: Collection[str]) -> tuple[str, ...]:
        """Return the modelled targets that some targets need: themselves, or what they are derived from."""
        needed = {*targets}
        if self.product and self.product.target in needed:
            needed |= {*self.product.powers}
        return tuple(name for name in self.responses if name in needed)

    def _complete(self, predicted: Columns, designs: Columns) -> Columns:
        """Return predictions, shape (..., n) each, with the derived target and sizes below the original, in order."""
        if self.product and all(name in predicted for name in self.product.powers):
            predicted = {**predicted, self.product.target: self.product.compute(predicted)}
        if self.ceilings and "size_bytes" in predicted:
            names, index = by_family(designs["family"]) if "family" in designs else ([*self.ceilings], 0)
            limit = np.array([self.ceilings.get(name, np.inf) for name in names])[index]
            predicted = {**predicted, "size_bytes": np.minimum(predicted["size_bytes"], limit)}
        return {target: predicted[target] for target in self.targets if target in predicted}

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return the levels of each category knob (except family) at which all of a family's targets were measured."""
        choices: dict[str, tuple[str, ...]] = {}
        for target in self.targets_of(family):
            for response in self._factors(target):
                for name, levels in response.coordinates.levels.items():
                    if name != "family":
                        choices[name] = tuple(level for level in choices.get(name, levels) if level in levels)
        return choices

    def posterior(
        self, *, n: int = N_DRAWS, seed: int = 0, targets: Collection[str] | None = None
    ) -> Mapping[str, ResponseDraws]:
        """Return n posterior draws of modelled targets, independent between targets; reproducible for a seed.

        Args:
            n: number of draws.
            seed: of the draws; those of a target do not depend on which others are drawn.
            targets: what the draws are needed for; default: all targets.
        """
        modelled = self.modelled(self.targets if targets is None else targets)
        seeds = np.random.SeedSequence(seed).generate_state(len(self.responses)).tolist()
        return {
            target: draw_response(response, n=n, seed=target_seed)
            for (target, response), target_seed in zip(self.responses.items(), seeds, strict=True)
            if target in modelled
        }

    def evaluate_draws(self, draws: Mapping[str, ResponseDraws], designs: Columns, *, with_noise: bool) -> Columns:
        """Return every target of the designs in every draw, shape (S, n) each; NaN for families without data.

        A derived target follows draw by draw from its factors.
        """
        result = {}
        for target, target_draws in draws.items():
            rows = self.is_measured(target, designs)
            values = np.full((target_draws.n, n_rows(designs)), np.nan)
            with one_thread():
                values[:, rows] = target_draws.evaluate(take(designs, rows), with_noise=with_noise)
            result[target] = values
        return self._complete(result, designs)

    def draws(self, designs: Columns, *, n: int = N_DRAWS, seed: int = 0, with_noise: bool = True) -> Columns:
        """Return every target of the designs in every draw, shape (n, number of designs) each."""
        return self.evaluate_draws(self.posterior(n=n, seed=seed), designs, with_noise=with_noise)

    def is_measured(self, target: str, designs: Columns) -> NDArray[np.bool_]:
        """Return a mask of the designs in whose family a modelled target was measured, shape (n,)."""
        response = self.responses[target]
        if not _has_family(response):
            return np.full(n_rows(designs), fill_value=True)
        names, index = by_family(designs["family"])
        return np.array([name in _families(response) for name in names], dtype=np.bool_)[index]

    def is_outlier(self, target: str, designs: Columns) -> NDArray[np.bool_]:
        """Return a mask of the designs whose measurement of a target counts as an outlier, shape (n,)."""
        result = np.zeros(n_rows(designs), dtype=np.bool_)
        for response in (r for r in self._factors(target) if r.is_outlier.any()):
            names = [knob.name for knob in response.knobs]
            outliers = take(response.samples, response.is_outlier)
            index = by_configuration(stack([{k: table[k] for k in names} for table in (outliers, designs)]))
            result |= np.isin(index[n_rows(outliers) :], index[: n_rows(outliers)])
        return result

    def _predict(self, targets: Sequence[str], designs: Columns) -> Columns:
        """Return predictions; designs are scaled once for all targets with the same samples and families."""
        if n_rows(designs) > _BLOCK:
            starts = range(0, n_rows(designs), _BLOCK)
            blocks = [{name: values[i : i + _BLOCK] for name, values in designs.items()} for i in starts]
            return stack([self._predict(targets, block) for block in blocks])
        predicted: Columns = {}
        scaled: list[tuple[InputCoordinates, NDArray[np.bool_], ScaledInputs, Float]] = []
        for target in targets:
            response, rows = self.responses[target], self.is_measured(target, designs)
            same = (one for one in scaled if one[0] == response.coordinates and np.array_equal(one[1], rows))
            entry = next(same, None)
            if entry is None:
                inputs = response.coordinates.transform(designs if rows.all() else take(designs, rows))
                entry = (response.coordinates, rows, inputs, response.coordinates.points(inputs))
                scaled.append(entry)
            values = unlink(target, response.linked_inputs(entry[2], entry[3]))
            predicted[target] = values
            if not rows.all():
                predicted[target] = np.full(n_rows(designs), np.nan)
                predicted[target][rows] = values
        return predicted

    def _check_families(self, designs: Columns) -> None:
        if "family" in designs and any(_has_family(r) for r in self.responses.values()):
            for name in by_family(designs["family"])[0]:
                if name not in self.families:
                    raise UnknownName("family", name, self.families)

    def _spans(self, family: str) -> dict[str, Range]:
        spans: dict[str, Range] = {}
        for target in self.targets_of(family):
            for response in self._factors(target):
                for name, span in _ranges(response, family).items():
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
        for target, support in self._supports.items():
            rows = self.is_measured(target, designs)
            result[rows] = np.maximum(result[rows], support.distance(designs if rows.all() else take(designs, rows)))
        return result

    @property
    def _supports(self) -> Mapping[str, Support]:
        """Support of the targets, one for each distinct table of samples, named by one of its targets."""
        supports: Mapping[str, Support] = self._once("supports", lambda: build_supports(self.responses))
        return supports

    @property
    def _has_unquantized(self) -> bool:
        """True if a step of 0 was measured: it is then inside the domain, although its logarithm is far from others."""
        return any((r.samples["quant_step"] == 0).any() for r in self.responses.values() if "quant_step" in r.samples)


def _ranges(response: Response, family: str) -> dict[str, Range]:
    """Return the range of each numeric knob of one family's samples."""
    rows = response.samples["family"] == family if _has_family(response) else slice(None)
    spans = {}
    for name, scale in response.coordinates.scales.items():
        values = response.samples[name][rows]
        is_log = scale.scale in {"log", "step"} and name not in OPERATING_KNOBS
        # A step of 0 (not quantized) is represented by the scale's floor, since log(0) is not finite.
        low = max(float(values.min()), scale.floor) if is_log else float(values.min())
        spans[name] = Range(low, max(float(values.max()), low), is_log)
    return spans


def collinear_knobs(tables: Sequence[KnobColumns]) -> tuple[Collinearity, ...]:
    """Return the groups of knobs whose effects some tables cannot separate."""
    return tuple(one for table in tables for one in find_collinear(table.samples.columns, table.knobs))


def original_sizes(samples: Samples) -> dict[str, float]:
    """Return the size of each family's original: stated by the samples, or that of rows that are not compressed."""
    columns = samples.columns
    ceilings = dict(samples.original_bytes)
    if "size_bytes" not in columns or not {"pruning_ratio", "quant_step", "weight_bits"} & set(columns):
        return ceilings
    is_whole = np.isfinite(columns["size_bytes"]) & (columns.get("pruning_ratio", np.zeros(1)) == 0)
    bits = bits_of(columns)
    if bits is not None:
        is_whole &= bits >= _FLOAT_BITS
    for family in dict.fromkeys(columns["family"][is_whole].tolist()):
        rows = is_whole & (columns["family"] == family)
        ceilings.setdefault(str(family), float(columns["size_bytes"][rows].max()))
    return ceilings


def fit_laws(samples: Samples) -> dict[str, AlphaPowerLaw]:
    """Return the V-f law of each family: the smallest constant at which every sample is feasible.

    Alpha-power law (Sakurai and Newton 1990). Threshold and exponent are assumed: the samples have few voltages a
    family, and none is known to run at its limit.
    """
    columns = samples.columns
    if not {"voltage_v", "frequency_hz"} <= columns.keys():
        return {}
    laws = {}
    for family in samples.families:
        rows = (columns["family"] == family) & np.isfinite(columns["voltage_v"]) & np.isfinite(columns["frequency_hz"])
        if not rows.any():
            continue
        volts, clock = columns["voltage_v"][rows], columns["frequency_hz"][rows]
        # The law is undefined below the threshold; a chip measured at such a voltage has a lower threshold.
        threshold = min(THRESHOLD_V, 0.9 * float(volts.min()))
        unit = AlphaPowerLaw(1.0, threshold, EXPONENT)
        laws[family] = AlphaPowerLaw(float(np.max(clock / unit.frequency_max(volts))), threshold, EXPONENT)
    return laws


def _has_family(response: Response) -> bool:
    return "family" in response.coordinates.levels


def _families(response: Response) -> tuple[str, ...]:
    return response.coordinates.levels.get("family", (_ALL,))


def _intersect(a: Range, b: Range) -> Range:
    """Return the intersection of two ranges, or the first if they are disjoint."""
    low, high = max(a.low, b.low), min(a.high, b.high)
    return Range(low, high, a.is_log) if low <= high else a
