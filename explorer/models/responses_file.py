"""Several responses as JSON values, with the samples that they were fitted to."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import WrongUsage
from explorer.models.response_file import response_from_json, response_to_json
from explorer.models.responses import Responses
from explorer.models.samples import Samples

SCHEMA = "explorer.responses/1"


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


def responses_from_json(data: Mapping[str, Any]) -> Responses:
    """Return the model that `responses_to_json` wrote.

    Raises:
        WrongUsage: the values are not those of a model.
    """
    listed = data.get("responses")
    if data.get("schema") != SCHEMA or not isinstance(listed, list) or not listed:
        raise WrongUsage(f"not a fitted model: its schema is not {SCHEMA}, or it has no responses", fix="fit it again")
    responses = [response_from_json(one) for one in listed]
    try:
        samples = _samples(data["samples"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WrongUsage(f"not a fitted model: its samples: {error}", fix="fit it again") from None
    return Responses(str(data.get("name", "")), samples, {response.target: response for response in responses})


def _plain(values: NDArray[Any]) -> list[Any]:
    if values.dtype == object:
        return [str(value) for value in values.tolist()]
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _samples(data: Mapping[str, Any]) -> Samples:
    labels = tuple(str(label) for label in data["labels"])
    columns: dict[str, NDArray[Any]] = {}
    for name, values in data["columns"].items():
        if len(values) != len(labels):
            raise ValueError(f"{name} has {len(values)} values for {len(labels)} rows")
        is_text = any(isinstance(value, str) for value in values)
        columns[str(name)] = (
            np.array([str(value) for value in values], dtype=object)
            if is_text
            else np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
        )
    return Samples(columns, labels, str(data["source"]), str(data["sha256"]),
                   tuple(str(note) for note in data.get("notes", ())))  # fmt: skip
