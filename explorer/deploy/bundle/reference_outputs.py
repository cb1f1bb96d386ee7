"""Reference outputs of a bundle's network, and their comparison with the file before it is shipped."""

from collections.abc import Sequence
from dataclasses import dataclass

from explorer.deploy.bundle.schema import ReferenceOutputs
from explorer.errors import MeasurementFailed
from explorer.network.graph.default_session import run_default_session
from explorer.network.graph.model import Network
from explorer.network.graph.session import Array, Session
from explorer.network.reference.expected_codes import CodeRule, expected_codes, source_weights
from explorer.network.reference.outputs import (
    HALF_TOLERANCE,
    INT8_TOLERANCE,
    N_RUNS,
    TOLERANCE,
    Run,
    compare_outputs,
    is_half,
    pack_runs,
    random_runs,
    reference_model,
)
from explorer.network.reference.stored_codes import codes_at_step, read_stored_codes
from explorer.network.reference.tensors import scopes
from explorer.network.task.task import Task

REFERENCE = "reference.npz"
_RANDOM = "seeded random numbers"
_RANDOM_OPS = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
_MARGIN = 2  # of an int8 bundle's deviation: other processors have other int8 kernels


@dataclass(frozen=True, slots=True)
class Reference:
    """Reference outputs of a network: block of the manifest and bytes of the npz; without them, the reason."""

    block: ReferenceOutputs | None
    npz: bytes
    remark: str = ""


def make_reference(
    network: Network, onnx: bytes, rule: CodeRule, *, source: Session, task: Task | None, is_int8: bool
) -> Reference:
    """Run the source network with D times the codes of Eqs. (4) and (5), and compare the compressed file with it.

    Args:
        network: the source network.
        onnx: bytes of the compressed file.
        rule: how its codes follow from the source.
        source: session of the source network.
        task: the study's data in the network's inputs; None feeds random numbers.
        is_int8: activations are int8.

    Raises:
        MeasurementFailed: the compressed file cannot be run on the study's data, or computes something else.
    """
    random = [
        node.op_type for scope in scopes(network.model) for node in scope.graph.node if node.op_type in _RANDOM_OPS
    ]
    if random:
        return Reference(None, b"", f"no outputs are stored: {random[0]} gives other numbers in every file")
    feeds = task.sample_runs(N_RUNS) if task else random_runs(source.inputs)
    if not feeds:
        return Reference(
            None, b"", "no outputs are stored: an input has a dynamic length, or no numbers. Name data with --data"
        )
    try:
        expected, outputs, half = _run_both(network, onnx, rule, feeds)
    except MeasurementFailed as error:
        if task:
            raise
        text = f"no outputs are stored: it does not take random numbers ({error.problem}). Name data with --data"
        return Reference(None, b"", text)
    npz, n_runs = pack_runs(feeds, expected)
    deviation = compare_outputs(expected, outputs)
    if not npz or not any(expected):
        return Reference(None, b"", "no outputs are stored: one run has more than 8 MB, or no output is numeric")
    tolerance = HALF_TOLERANCE if half else TOLERANCE
    if is_int8:
        tolerance = max(INT8_TOLERANCE, _MARGIN * deviation.value)
    if not deviation.value <= tolerance:
        raise MeasurementFailed(
            f"the compressed network differs from its source with the weights of Eqs. (4) and (5): output "
            f"'{deviation.output}' by {deviation.value:.3g} of its largest value, more than {tolerance:g}",
            fix="report it, with the network: one of both is wrong",
        )
    reason = (
        f"activations are int8, those of the reference float: the file differed by {deviation.value:.2g} when it was "
        f"deployed; {_MARGIN} times that is allowed, at least {INT8_TOLERANCE:g}" if is_int8
        else "weights are float16" if half else ""
    )  # fmt: skip
    block = ReferenceOutputs(
        file=REFERENCE, n_runs=n_runs, inputs=_inputs(task, n_runs), tolerance=tolerance, deviation=deviation.value,
        reason=reason,
    )  # fmt: skip
    return Reference(block, npz)


def _run_both(
    network: Network, onnx: bytes, rule: CodeRule, feeds: Sequence[Run]
) -> tuple[list[dict[str, Array]], list[dict[str, Array]], bool]:
    """Return outputs of reference and compressed file, and whether a weight is float16."""
    compressed = type(network.model)()
    compressed.ParseFromString(onnx)
    weights, _ = source_weights(network.model, codes_at_step(read_stored_codes(compressed), rule.step))
    codes = expected_codes(weights, rule)
    expected = run_default_session(reference_model(network.model, codes, step=rule.step), feeds)
    return expected, run_default_session(onnx, feeds), is_half(network.model, codes)


def _inputs(task: Task | None, n_runs: int) -> str:
    if task is None:
        return _RANDOM
    n = n_runs * task.batch
    return f"{n} sample{'' if n == 1 else 's'} of {task.data.source.rpartition('/')[2]}"
