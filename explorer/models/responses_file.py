"""Several responses as JSON values, with the samples that they were fitted to."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile
from explorer.models.response_faults import response_faults
from explorer.models.response_file import response_from_file, response_to_json
from explorer.models.responses import Responses
from explorer.models.samples import Samples
from explorer.problem.columns import COLUMNS, TARGETS, is_allowed
from explorer.problem.csv_table import shortened
from explorer.problem.declare import check
from explorer.problem.fitted_file import ResponsesFile, TableFile

SCHEMA = "explorer.responses/1"
_AGAIN = "write it again with `explorer fit SAMPLES.csv -o model.json`"


def responses_to_json(model: Responses) -> dict[str, Any]:
    """Return a model as plain JSON values."""
    samples = model.samples
    return {
        "schema": SCHEMA,
        "name": model.name,
        "samples": {
            "labels": list(samples.labels),
            "source": samples.source,
            "sha256": samples.sha256,
            "notes": list(samples.notes),
            "columns": {name: _plain(values) for name, values in samples.columns.items()},
        },
        "responses": [response_to_json(model.responses[target]) for target in model.targets],
    }


def responses_from_json(data: object, *, path: object) -> Responses:
    """Return the model that `responses_to_json` wrote, called by its file.

    Raises:
        InvalidFile: the values are not those of a model; all faults at once.
    """
    file = check(data, ResponsesFile, path=path)
    faults = [
        *(("[samples]", what) for what in _sample_faults(file)),
        *((f"[responses] {one.target}", what) for one in file.responses for what in response_faults(one)),
    ]
    if faults:
        raise InvalidFile(path, shortened([Fault(where, what, _AGAIN) for where, what in faults]))
    responses = {one.target: response_from_file(one) for one in file.responses}
    return Responses(str(path), _samples(file.samples), responses)


def _sample_faults(file: ResponsesFile) -> Iterator[str]:
    """See that the samples have what the responses need of them, each column of one kind and as long as the labels."""
    columns, n = file.samples.columns, len(file.samples.labels)
    targets = [one.target for one in file.responses]
    knobs = {"family": "category", **{knob.name: knob.kind for one in file.responses for knob in one.knobs}}
    kinds = {**dict.fromkeys(TARGETS, "number"), **knobs}
    if len(set(targets)) < len(targets):
        yield f"two responses are of one target: {', '.join(targets)}"
    for name in [name for name in (*knobs, *targets) if name not in columns]:
        yield f"column '{name}' is missing"
    for one in file.responses:
        strange = [k for k, values in one.samples.items() if not set(values) <= set(columns.get(k, values))]
        if strange:
            yield f"response '{one.target}' was fitted to other values of {', '.join(strange)}"
    for name, values in columns.items():
        is_text = [isinstance(value, str) for value in values]
        numbers = np.array([value for value in values if isinstance(value, float)])
        if len(values) != n:
            yield f"{name} has {len(values)} values for {n} rows"
        if any(is_text) != all(is_text) or (name in kinds and any(is_text) != (kinds[name] == "category")):
            yield f"{name} has names and numbers in one column, or one for the other"
        if name in (*COLUMNS, *kinds) and not is_allowed(name, numbers, is_measured=True).all():
            yield f"{name} is out of range"


def _plain(values: NDArray[Any]) -> list[Any]:
    if values.dtype == object:
        return [str(value) for value in values.tolist()]
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _samples(file: TableFile) -> Samples:
    columns: dict[str, NDArray[Any]] = {
        name: np.array(values, dtype=object)
        if any(isinstance(value, str) for value in values)
        else np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        for name, values in file.columns.items()
    }
    return Samples(columns, file.labels, file.source, file.sha256, file.notes)
