"""Responses: several fitted targets as one evaluator, each from its own table of measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import UnknownName, WrongUsage
from explorer.models.coordinates import Knob
from explorer.models.response import N_DRAWS, Response, ResponseDraws, draw_response
from explorer.models.response_file import response_from_json, response_to_json
from explorer.models.response_fit import fit_response
from explorer.problem.columns import TARGETS, Columns, Float, by_family, n_rows, take
from explorer.problem.domain import Span
from explorer.problem.operating import AlphaPowerLaw

SCHEMA = "explorer.responses/1"
_ALL = "all"  # what the one family is called where no knob tells families apart


@dataclass(frozen=True, slots=True)
class Measured:
    """A table of measurements: knobs and targets, shape (n,) each, and which rows are left out together (if any)."""

    designs: Columns
    targets: Columns
    knobs: tuple[Knob, ...]
    groups: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class Responses:
    """Fitted targets that answer for the same designs; each needs only the knobs of its own table.

    Args:
        name: how it was named.
        responses: one for each target.
    """

    name: str
    responses: Mapping[str, Response]

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns it adds, in the project's order."""
        known = tuple(name for name in TARGETS if name in self.responses)
        return (*known, *(name for name in self.responses if name not in known))

    @property
    def knobs(self) -> tuple[Knob, ...]:
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
    def domain(self) -> Mapping[str, Mapping[str, Span]]:
        """For each family, the span of each numeric knob in which all of its targets have samples."""
        return {family: self._spans(family) for family in self.families}

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

    def posterior(self, *, n: int = N_DRAWS, seed: int = 0) -> "ResponsesDraws":
        """Return n draws of every target, independent between targets; the same seed gives the same draws."""
        seeds = np.random.SeedSequence(seed).generate_state(len(self.responses))
        drawn = zip(self.targets, seeds, strict=True)
        return ResponsesDraws(self, {t: draw_response(self.responses[t], n=n, seed=int(s)) for t, s in drawn})

    def draws(self, designs: Columns, *, n: int = N_DRAWS, seed: int = 0, with_noise: bool = True) -> Columns:
        """Return every target of the designs in every draw, shape (n, number of designs) each."""
        return self.posterior(n=n, seed=seed).at(designs, with_noise=with_noise)

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

    def _spans(self, family: str) -> dict[str, Span]:
        spans: dict[str, Span] = {}
        for target in self.targets_of(family):
            response = self.responses[target]
            own = response.samples["family"] == family if _has_family(response) else slice(None)
            for name, axis in response.coordinates.axes.items():
                values = response.samples[name][own]
                span = Span(float(values.min()), float(values.max()), axis.scale in {"log", "step"})
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
                result[rows] = np.maximum(
                    result[rows], span.distance(np.asarray(designs[knob][rows], dtype=np.float64))
                )
        return result


@dataclass(frozen=True, slots=True)
class ResponsesDraws:
    """Draws of several targets.

    Args:
        model: what they are draws of.
        drawn: each target's.
    """

    model: Responses
    drawn: Mapping[str, ResponseDraws]

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, in the model's order."""
        return tuple(self.drawn)

    @property
    def noise(self) -> Mapping[str, float]:
        """Standard deviation of a measurement of each target, in its link."""
        return {t: d.response.noise for t, d in self.drawn.items()}

    def at(self, designs: Columns, *, with_noise: bool) -> Columns:
        """Return every target of the designs in every draw, shape (S, n) each; NaN for families without data."""
        result = {}
        for target, drawn in self.drawn.items():
            rows = self.model.known(target, designs)
            result[target] = np.full((len(drawn.theta), n_rows(designs)), np.nan)
            result[target][:, rows] = drawn.at(take(designs, rows), with_noise=with_noise)
        return result


def fit_responses(tables: Sequence[Measured], *, name: str) -> Responses:
    """Fit every target of some tables; each table tells of its own targets alone.

    Raises:
        WrongUsage: two tables measure the same target, none measures any, or one cannot be fitted.
    """
    responses: dict[str, Response] = {}
    for table in tables:
        for target, values in table.targets.items():
            if target in responses:
                raise WrongUsage(f"two tables measure {target}", fix="put its rows into one table, or drop one column")
            if np.isfinite(values).any():
                responses[target] = fit_response(target, table.designs, values, knobs=table.knobs, groups=table.groups)
    if not responses:
        raise WrongUsage("no target was measured", fix=f"give one of {', '.join(TARGETS)}")
    return Responses(name, responses)


def responses_to_json(model: Responses) -> dict[str, Any]:
    """Return a model as plain JSON values."""
    responses = [response_to_json(model.responses[target]) for target in model.targets]
    return {"schema": SCHEMA, "name": model.name, "responses": responses}


def responses_from_json(data: Mapping[str, Any]) -> Responses:
    """Return the model that `responses_to_json` wrote.

    Raises:
        WrongUsage: the values are not those of a model.
    """
    listed = data.get("responses")
    if data.get("schema") != SCHEMA or not isinstance(listed, list) or not listed:
        raise WrongUsage(f"not a fitted model: its schema is not {SCHEMA}, or it has no responses", fix="fit it again")
    responses = [response_from_json(one) for one in listed]
    return Responses(str(data.get("name", "")), {response.target: response for response in responses})


def _has_family(response: Response) -> bool:
    return "family" in response.coordinates.levels


def _families(response: Response) -> tuple[str, ...]:
    return response.coordinates.levels.get("family", (_ALL,))


def _common(a: Span, b: Span) -> Span:
    """Return where two spans overlap; the first where they do not."""
    low, high = max(a.low, b.low), min(a.high, b.high)
    return Span(low, high, a.is_log) if low <= high else a
