"""Inspection of a network: its feeds, scored output, counts, share of compressed weights, and problems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.errors import ExplorerError, Fault, InvalidFile
from explorer.network.graph.model import Network, opset_of
from explorer.network.graph.op_counts import OpCounts, count_operations
from explorer.network.graph.session import Array, Session, open_inference_session
from explorer.network.task.labelled_data import LabelledData
from explorer.network.task.task import Task, prepare_task

_TYPES = {"float": "float32", "double": "float64"}
_MIN_SHARE = 0.99  # of the weights; below, the weights that compression does not reach are a problem
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: its type, and its shape with the name of a free length, None where it has none."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    @property
    def batch(self) -> int | None:
        """The first length where it is fixed."""
        return self.shape[0] if self.shape and isinstance(self.shape[0], int) else None


@dataclass(frozen=True, slots=True)
class Inspection:
    """Facts of a network before any design is measured.

    Args:
        network: the loaded network.
        inputs: its inputs.
        outputs: its outputs.
        task: feeds, scored output and quality; None without data, or where the data does not fit.
        counts: operation counts of one run; None where no run is possible.
        problems: obstacles to a measurement, each with its fix.
    """

    network: Network
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    task: Task | None
    counts: OpCounts | None
    problems: tuple[Fault, ...]

    @property
    def fixed_batch(self) -> int | None:
        """Number of samples of every run where all inputs but scalars fix the same one; None where it is free."""
        lengths = {port.batch for port in self.inputs if port.shape}
        return lengths.pop() if len(lengths) == 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        network, task, counts = self.network, self.task, self.counts
        scored = task.output if task and task.output else None
        return {
            "schema": "explorer.inspect/1",
            "network": network.name, "sha256": network.sha256, "n_bytes": network.n_bytes,
            "opset": opset_of(network.model),
            "inputs": [_port_json(port) for port in self.inputs],
            "outputs": [_port_json(port) for port in self.outputs],
            "scored_output": scored,
            "source": {name: quality.value for name, quality in task.source.items()} if task else {},
            "fixed_batch": self.fixed_batch,
            "batch": task.batch if task else None,
            "n_parameters": network.n_parameters,
            "n_weights": network.n_weights + network.n_other_weights,
            "n_weights_compressible": network.n_weights,
            "is_quantized": network.is_quantized,
            "coverage": [
                {"operator": group.operator, "n_parameters": group.n, "is_weights": group.is_weights,
                 "is_compressed": not group.reason, "reason": group.reason}
                for group in network.coverage
            ],
            "n_macs": counts.n_macs if counts else None,
            "n_accesses": counts.n_accesses if counts else None,
            "uncounted": list(counts.uncounted) if counts else [],
            "notes": [*network.notes, *(task.notes if task else ())],
            "problems": [{"problem": fault.problem, "fix": fault.fix} for fault in self.problems],
        }  # fmt: skip


def inspect_network(
    network: Network, data: LabelledData | None = None, *, output: str | None = None, targets: Sequence[str] = ()
) -> Inspection:
    """Inspect a network; with data, decide its feeds and scored output as a measurement would.

    Faults of the data or the runs are problems of the result, not errors.

    Args:
        network: the loaded network.
        data: labelled samples; None leaves open what is scored.
        output: the output to score; None chooses it.
        targets: targets that `score` of the data returns.

    Raises:
        MeasurementFailed: onnxruntime cannot load the network.
        UnknownName: there is no such output.
    """
    session = open_inference_session(network.model.SerializeToString())
    problems: list[Fault] = []
    task: Task | None = None
    if data is not None:
        try:
            task = prepare_task(session, data, output=output, targets=targets)
        except InvalidFile as error:
            problems += [Fault(f"{data.source}: {one.where}".rstrip(": "), one.what, one.fix) for one in error.faults]
        except ExplorerError as error:
            problems.append(Fault("", error.problem, error.fix))
    feeds = task.one_run if task else _zeros(session)
    counts: OpCounts | None = None
    if feeds is None and data is None:
        problems.append(Fault("", "MACs are counted in a run, and an input has a free length", "give --data"))
    elif feeds is not None:
        try:
            counts = count_operations(network.model, feeds)
        except ExplorerError as error:
            problems += (
                [] if problems else [Fault("", error.problem, error.fix if task else "give --data: zeros were fed")]
            )
    inputs, outputs = _ports(session.inner.get_inputs()), _ports(session.inner.get_outputs())
    problems += [*_task_problems(task, inputs, has_data=data is not None), *_weight_problems(network, counts)]
    return Inspection(network, inputs, outputs, task, counts, tuple(problems))


def _task_problems(task: Task | None, inputs: Sequence[Port], *, has_data: bool) -> list[Fault]:
    problems = []
    texts = [port.name for port in inputs if port.dtype == "string"]
    if texts and not has_data:
        what = f"input '{texts[0]}' takes text"
        problems.append(Fault("", what, "store it as an array of strings, or feed it in a python: module"))
    if task is None:
        return problems
    return problems + [
        Fault("", text, "correct the network or its data, or name an output: --output NAME") for text in task.warnings
    ]


def _weight_problems(network: Network, counts: OpCounts | None) -> list[Fault]:
    """Return the problems of weights that compression does not reach, and of operators that are not counted."""
    problems = []
    n = network.n_weights + network.n_other_weights
    unreached = {group.operator: group.n for group in network.coverage if group.is_weights and group.reason}
    if network.is_quantized and not network.n_weights:
        what = "its weights are integers already, and are not compressed again"
        problems.append(Fault("", what, "measure it as it is, or export the float network"))
    elif not network.n_weights:
        problems.append(Fault("", "no operator of it uses stored weights", "measure it as it is: it has one design"))
    elif network.n_weights < _MIN_SHARE * n:
        named = ", ".join(f"{operator} {count:,}" for operator, count in list(unreached.items())[:_MAX_NAMED])
        what = f"compression reaches {network.n_weights / n:.1%} of the weights, not those of {named}"
        problems.append(Fault("", what, "their share stays in every size: expect less from R and D"))
    if counts and counts.uncounted:
        named = ", ".join(counts.uncounted[:_MAX_NAMED])
        what = f"MACs leave out {len(counts.uncounted)} operators: {named}"
        problems.append(Fault("", what, "do not compare eq. (1) with other networks; measure energy"))
    return problems


def _ports(values: Sequence[Any]) -> tuple[Port, ...]:
    return tuple(Port(value.name, _type(value.type), _shape(value.shape)) for value in values)


def _type(text: str) -> str:
    """Return the type of an onnxruntime value as numpy names it."""
    inner = text.removeprefix("tensor(").removesuffix(")") if text.startswith("tensor(") else text
    return _TYPES.get(inner, inner)


def _shape(dims: Sequence[Any] | None) -> tuple[int | str | None, ...]:
    return tuple(dim if isinstance(dim, str) or (isinstance(dim, int) and dim >= 0) else None for dim in dims or ())


def _zeros(session: Session) -> Mapping[str, Array] | None:
    """Return zeros as one sample; None if a length other than the batch is free, or an input takes no numbers."""
    if any(None in entry.shape[1:] or entry.dtype == np.object_ for entry in session.inputs):
        return None
    return {entry.name: np.zeros([length or 1 for length in entry.shape], entry.dtype) for entry in session.inputs}


def _port_json(port: Port) -> dict[str, Any]:
    return {"name": port.name, "type": port.dtype, "shape": list(port.shape)}
