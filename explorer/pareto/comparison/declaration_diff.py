"""Differences between the declarations of studies, and warnings where their fronts are not comparable."""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from explorer.pareto.results.results import Results

_NONE = "-"
_SHA = 12
_MAX_TEXT = 100


@dataclass(frozen=True, slots=True)
class DeclarationChange:
    """Difference between studies: the name of the entry (`what`) and its text in each study."""

    what: str
    values: tuple[str, ...]


def declaration_changes(results: Sequence[Results]) -> tuple[DeclarationChange, ...]:
    """Return the differences between the declarations, models, searches and versions of studies.

    Only entries of the provenance are compared; an absent entry reads `-`.
    """
    shared = set.intersection(*[{family for family, _ in _spaces(one)} for one in results])
    entries = [dict(_provenance_entries(one, shared)) for one in results]
    rows = [
        DeclarationChange(name, tuple(one.get(name, _NONE) for one in entries))
        for name in dict.fromkeys(chain(*entries))
    ]
    changes = [row for row in rows if len(set(row.values)) > 1]
    # Coefficients are comparable only between models of one form; a table has none.
    first, *rest = (_coefficients(one) for one in results)
    counts = [0, *(_n_different(first, second) for second in rest)]
    if any(counts) and all(second.keys() == first.keys() for second in rest):
        texts = ("the first one's", *[f"{n} of {len(first)} differ" if n else "the same" for n in counts[1:]])
        changes.append(DeclarationChange("model: coefficients", texts))
    return tuple(changes)


def comparability_warnings(results: Sequence[Results], labels: Sequence[str]) -> tuple[str, ...]:
    """Return warnings where studies differ in model, families, constraints, space or cost weights."""
    notes = []
    if _differ([_fingerprint(one) for one in results]):
        notes.append(
            "MODELS DIFFER: their predictions of the same design differ; a difference between the fronts may come "
            "from the models, not from the designs"
        )
    families = [_families(one) for one in results]
    if _differ(families):
        notes.append(f"FAMILIES DIFFER: {_each(labels, [', '.join(own) or _NONE for own in families])}")
    constraints = [sorted(one.constraints) for one in results]
    if _differ(constraints):
        texts = _each(labels, ["; ".join(own) or "none" for own in constraints])
        notes.append(f"CONSTRAINTS DIFFER: {texts}; weaker constraints allow a better front")
    spaces = [_question(one).get("spaces") for one in results]
    if _differ(spaces) and not _differ(families):
        notes.append("SEARCH SPACES DIFFER: a wider space allows a better front; see the changes")
    weights = [cost_weights(one) for one in results]
    if _differ(weights):
        notes.append(
            f"ALPHA OR E_MAX DIFFER: {_each(labels, [weights_text(own) for own in weights])}; the values of "
            "weighted_cost are not comparable"
        )
    return tuple(notes)


def cost_weights(results: Results) -> tuple[float | None, float | None]:
    """Return alpha and E_max (in joule) of a study's weighted cost from its provenance; None where absent."""
    alpha, energy_max = (_question(results).get(key) for key in ("alpha", "energy_max_j"))
    return (
        float(alpha) if isinstance(alpha, int | float) else None,
        float(energy_max) if isinstance(energy_max, int | float) else None,
    )


def weights_text(weights: tuple[float | None, float | None]) -> str:
    """Return alpha and E_max as text with units."""
    alpha, energy_max = weights
    return f"alpha {_text(alpha)}, E_max {_text(energy_max)} J"


def _provenance_entries(results: Results, families: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield the entries of a study's provenance on declaration, model, search and versions, as name and text.

    Args:
        results: the study.
        families: yield spaces of these families only; a family that not all studies search is one entry by its name.
    """
    provenance, question = results.provenance, _question(results)
    study, model = _object(provenance.get("study")), _fingerprint(results)
    yield "study", results.study
    yield "study file: SHA-256", _text(study.get("sha256"))[:_SHA]
    for key in ("objectives", "constraints", "alpha", "energy_max_j"):
        yield key, _text(question.get(key))
    for path, value in _leaves(_object(question.get("scenario"))):
        yield f"scenario {path}", _text(value)
    yield "families", ", ".join(_families(results)) or _NONE
    yield "space", ", ".join(_text(_object(space).get("name")) for space in _list(provenance.get("spaces"))) or _NONE
    files = [_text(_object(space).get("sha256"))[:_SHA] for space in _list(provenance.get("spaces"))]
    yield "space file: SHA-256", ", ".join(files) or _NONE
    for family, space in _spaces(results):
        if family in families:
            yield from ((f"space {family}: {path}", _text(value)) for path, value in _leaves(space))
    yield "model", _text(_object(provenance.get("model")).get("name"))
    yield "model: samples' SHA-256", _text(model.get("samples_sha256"))[:_SHA]
    for key in ("sampler", "seed", "trials", "explorer_version", "python"):
        yield key.replace("_", " "), _text(provenance.get(key))
    for name, number in _object(provenance.get("packages")).items():
        yield name, _text(number)


def _spaces(results: Results) -> Iterator[tuple[str, Any]]:
    """Yield each family with the declaration of its space."""
    question = _question(results)
    for families, space in zip(_list(question.get("families")), _list(question.get("spaces")), strict=False):
        yield from ((_text(family), space) for family in _list(families))


def _families(results: Results) -> list[str]:
    return sorted({_text(family) for own in _list(_question(results).get("families")) for family in _list(own)})


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif value is not None and value != "":
        yield path, value


def _coefficients(results: Results) -> dict[str, Any]:
    return dict(_leaves(_object(_fingerprint(results).get("coefficients"))))


def _n_different(first: Mapping[str, Any], second: Mapping[str, Any]) -> int:
    return sum(first.get(name) != second.get(name) for name in first.keys() | second.keys())


def _fingerprint(results: Results) -> dict[str, Any]:
    """Return the identity of a model without its name, because its file may have been renamed."""
    return {key: value for key, value in _object(results.provenance.get("model")).items() if key != "name"}


def _question(results: Results) -> Mapping[str, Any]:
    return _object(results.provenance.get("question"))


def _object(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one: an edited provenance may hold any other value."""
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values[1:])


def _each(labels: Sequence[str], texts: Sequence[str]) -> str:
    return "; ".join(f"{label}: {text}" for label, text in zip(labels, texts, strict=True))


def _text(value: Any) -> str:
    if value is None or value in ("", [], ()):
        return _NONE
    if isinstance(value, str):
        text = value
    elif isinstance(value, float):
        text = f"{value:g}"
    elif isinstance(value, list | tuple):
        text = ", ".join(_text(item) for item in value)
    else:
        text = json.dumps(value, default=str)
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."
