"""Parametric surrogate: fitted forms of all targets of some samples, with V-f laws and domain."""

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

# Alpha-power law (Sakurai and Newton 1990). Threshold and exponent are assumed: the samples have at most three voltages
# a family, and none is known to run at its limit. Only K follows from the data: the smallest that admits every sample.
THRESHOLD_V = 0.3
THRESHOLD_SOURCE = "assumed: 0.25 to 0.4 V is usual for low-power CMOS of the last fifteen years"
EXPONENT = 1.3
EXPONENT_SOURCE = "Sakurai and Newton 1990: 1.2 to 1.4 for short channels"


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Evaluator of fitted parametric forms.

    Args:
        name: `paper`, or the path of a file.
        samples: to which it was fitted.
        references: reference design of each family, its least compressed sample.
        fits: one fit for each measured target.
        laws: V-f law of each family.
        domain: sampled range of every knob, by family.
        widening: factor on the scatter of each target for calibrated intervals; 1 if missing.
    """

    name: str
    samples: Samples
    references: Mapping[str, Mapping[str, float]]
    fits: Mapping[str, Fit]
    laws: Mapping[str, AlphaPowerLaw]
    domain: Domain
    widening: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Surrogate({self.name}: {', '.join(self.fits)} of {', '.join(self.families)})"

    @property
    def is_vectorized(self) -> bool:
        """True: thousands of designs are predicted at once."""
        return True

    @property
    def families(self) -> tuple[str, ...]:
        """Families with samples."""
        return tuple(self.references)

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets of the samples, all of which are predicted."""
        return self.samples.targets

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the targets with samples of one family."""
        return tuple(target for target in self.targets if family in self.fits[target].levels)

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return an empty mapping: the forms depend on the four numeric knobs and the family alone."""
        del family
        return {}

    def law(self, family: str) -> AlphaPowerLaw | None:
        """Return the V-f law of a family."""
        return self.laws.get(family)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how the samples were read."""
        return self.samples.notes

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with predicted targets and `domain_distance`, shape (n,) each.

        Raises:
            UnknownName: a family without samples.
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
        name: of the model.
        references: reference design of each family; default: its least compressed sample. References contain knobs and
            no measurements, so leave-one-out may use those of the full table.
    """
    references = references or reference_designs(samples)
    families = samples.columns["family"].tolist()
    relative = relative_to(references, samples.columns)
    fits: dict[str, Fit] = {}
    for target, form in PARAMETRIC_FORMS.items():
        if target not in samples.targets:
            continue
        # Latency is fitted first; its ratio comes from the prior until then, and if it was never measured.
        columns = with_latency_ratio(relative, fits.get("latency_s"))
        fit = fit_measured_rows(form, columns, families, samples.columns[target])
        if fit is not None:
            fits[target] = fit
    laws = {family: _law(samples, family) for family in references}
    return Surrogate(name, samples, references, fits, laws, domain_of(samples.columns))


def reference_designs(samples: Samples) -> dict[str, dict[str, float]]:
    """Return the least compressed sample of each family: the smallest R, then the smallest D."""
    columns = samples.columns
    result = {}
    for family in samples.families:
        rows = np.flatnonzero(columns["family"] == family)
        first = rows[np.lexsort((columns["quant_step"][rows], columns["pruning_ratio"][rows]))[0]]
        result[family] = {knob: float(columns[knob][first]) for knob in NUMERIC_KNOBS}
    return result


def relative_to(references: Mapping[str, Mapping[str, float]], designs: Columns) -> Columns:
    """Return designs relative to the reference designs of their families, shape (n,) each.

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
    """Return relative columns with `latency_ratio`, predicted by the fitted form or by its prior medians."""
    form = PARAMETRIC_FORMS["latency_s"]
    coefficients = latency.coefficients if latency else {p.name: p.value for p in form.priors}
    return {**relative, "latency_ratio": np.exp(form.effect(relative, coefficients))}


def _law(samples: Samples, family: str) -> AlphaPowerLaw:
    rows = samples.columns["family"] == family
    volts, clock = samples.columns["voltage_v"][rows], samples.columns["frequency_hz"][rows]
    # The law is undefined below the threshold; a chip measured at such a voltage has a lower threshold.
    threshold = min(THRESHOLD_V, 0.9 * float(volts.min()))
    unit = AlphaPowerLaw(1.0, threshold, EXPONENT)
    return AlphaPowerLaw(float(np.max(clock / unit.frequency_max(volts))), threshold, EXPONENT)
