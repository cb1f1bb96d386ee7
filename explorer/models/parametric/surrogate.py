"""The surrogate: fitted shapes for every target of some samples, with their V-f law and their domain."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import UnknownName
from explorer.models.parametric.functional_forms import PARAMETRIC_FORMS, relative_columns
from explorer.models.parametric.laplace import Fit, fit_measured_rows
from explorer.models.samples.samples import Samples
from explorer.problem.applicability import Domain, domain_distance, domain_of
from explorer.problem.columns import NUMERIC_KNOBS, Columns, by_family

# The V-f law's shape is prior alone: the samples have no more than three voltages a family, and none is known to run
# at its limit. Only K follows from the data, as the smallest that lets every sample exist.
THRESHOLD_V = 0.3
THRESHOLD_SOURCE = "assumed: 0.25 to 0.4 V is usual for low-power CMOS of the last fifteen years"
EXPONENT = 1.3
EXPONENT_SOURCE = "Sakurai and Newton 1990: 1.2 to 1.4 for short channels"


@dataclass(frozen=True, slots=True)
class Surrogate:
    """An evaluator made of fitted shapes.

    Args:
        name: how it was named: `paper`, or a file's path.
        samples: what it was fitted to.
        references: each family's least compressed sample, to which its shapes are relative.
        fits: one fit for each measured target.
        laws: each family's V-f law.
        domain: each family's span of samples in every knob.
        widening: how much wider than the posterior's each target's scatter must be to cover (1 where it does).
    """

    name: str
    samples: Samples
    references: Mapping[str, Mapping[str, float]]
    fits: Mapping[str, Fit]
    laws: Mapping[str, AlphaPowerLaw]
    domain: Domain
    widening: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_vectorized(self) -> bool:
        """Thousands of designs are predicted in a blink."""
        return True

    @property
    def families(self) -> tuple[str, ...]:
        """The families it can predict."""
        return tuple(self.references)

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns it adds."""
        return self.samples.targets

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the targets that were measured in one family."""
        return tuple(target for target in self.targets if family in self.fits[target].levels)

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return no categories: the shapes know the four numeric knobs and the family."""
        del family
        return {}

    def law(self, family: str) -> AlphaPowerLaw | None:
        """Return a family's V-f law."""
        return self.laws.get(family)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done with the samples' file that its user should know."""
        return self.samples.notes

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with predicted columns and their distance outside the samples' range, shape (n,) each.

        Raises:
            UnknownName: a family that was never measured; the others cannot predict it.
        """
        relative = self._relative(designs)
        predicted = {target: fit.predict(relative, designs["family"]) for target, fit in self.fits.items()}
        ordered = {target: predicted[target] for target in self.targets}
        return {**designs, **ordered, "domain_distance": domain_distance(designs, self.domain)}

    def _relative(self, designs: Columns) -> Columns:
        relative = relative_to(self.references, designs)
        latency = self.fits.get("latency_s")
        return with_latency_ratio(relative, latency)


def fit_surrogate(
    samples: Samples, *, name: str, references: Mapping[str, Mapping[str, float]] | None = None
) -> Surrogate:
    """Fit every measured target of some samples.

    Args:
        samples: the samples.
        name: how to call the model.
        references: the reference designs to use; default: each family's least compressed sample. Knobs alone, no
            measurement, so leave-one-out may keep those of the full table.
    """
    references = references or reference_designs(samples)
    families = samples.columns["family"].tolist()
    relative = relative_to(references, samples.columns)
    fits: dict[str, Fit] = {}
    for target, shape in PARAMETRIC_FORMS.items():
        if target not in samples.targets:
            continue
        # Latency is fitted first; until then (and where it was never measured) its prior stands in for the ratio.
        columns = with_latency_ratio(relative, fits.get("latency_s"))
        fit = fit_measured_rows(shape, columns, families, samples.columns[target])
        if fit is not None:
            fits[target] = fit
    laws = {family: _law(samples, family) for family in references}
    return Surrogate(name, samples, references, fits, laws, domain_of(samples.columns))


def reference_designs(samples: Samples) -> dict[str, dict[str, float]]:
    """Return each family's least compressed sample: the smallest R, then the smallest D."""
    columns = samples.columns
    result = {}
    for family in samples.families:
        rows = np.flatnonzero(columns["family"] == family)
        first = rows[np.lexsort((columns["quant_step"][rows], columns["pruning_ratio"][rows]))[0]]
        result[family] = {knob: float(columns[knob][first]) for knob in NUMERIC_KNOBS}
    return result


def relative_to(references: Mapping[str, Mapping[str, float]], designs: Columns) -> Columns:
    """Return designs relative to their families' reference designs, shape (n,) each.

    Raises:
        UnknownName: a family without a reference.
    """
    names, index = by_family(designs["family"])
    for name in names:
        if name not in references:
            raise UnknownName("family", name, references)
    reference = {knob: np.array([references[name][knob] for name in names])[index] for knob in NUMERIC_KNOBS}
    return relative_columns(designs, reference)


def with_latency_ratio(relative: Columns, latency: Fit | None) -> Columns:
    """Return relative columns with the latency's ratio to the reference, by the fitted shape or by its prior."""
    shape = PARAMETRIC_FORMS["latency_s"]
    coefficients = latency.coefficients if latency else {p.name: p.value for p in shape.priors}
    return {**relative, "latency_ratio": np.exp(shape.effect(relative, coefficients))}


def _law(samples: Samples, family: str) -> AlphaPowerLaw:
    rows = samples.columns["family"] == family
    volts, clock = samples.columns["voltage_v"][rows], samples.columns["frequency_hz"][rows]
    # Below the threshold the law has no meaning; a chip that was measured there has a lower threshold.
    threshold = min(THRESHOLD_V, 0.9 * float(volts.min()))
    unit = AlphaPowerLaw(1.0, threshold, EXPONENT)
    return AlphaPowerLaw(float(np.max(clock / unit.frequency_max(volts))), threshold, EXPONENT)
