"""Verify the codes of a bundle's network against Eq. (5) at the step D of its manifest."""

from collections.abc import Iterator, Sequence

import numpy as np

from explorer.deploy.bundle.schema import ShippedDesign, ShippedNetwork
from explorer.deploy.verification.check import Check
from explorer.network.compression.compress import Recipe, compress_weights
from explorer.network.compression.quantization import effective_ratio, largest_code
from explorer.network.compression.stored_weights import StoredWeight
from explorer.network.graph.model import Network

_MAX_FAULTS = 3


def verify_weights(
    weights: Sequence[StoredWeight], design: ShippedDesign, *, network: ShippedNetwork, source: Network | None
) -> Check:
    """Compare stored codes with a design.

    Args:
        weights: weights stored in the file.
        design: the design, with R and D.
        network: the manifest's block of the network.
        source: the source network, if available: every code is then recomputed and compared.
    """
    promised = f"Eq. (5), D = {design.quant_step:g}, R_eff = {network.r_effective:.6g}"
    faults = [*_faults(weights, design, network), *_differences(weights, design, network, source)]
    if faults:
        return Check("codes", promised, "; ".join(faults[:_MAX_FAULTS]), "broken", "deploy it again")
    n = sum(weight.quantized.codes.size for weight in weights)
    method = "each compared with the source's" if source else "scale D and zero point 0"
    return Check("codes", promised, f"{n:,} codes in {len(weights)} tensors, {method}", "kept")


def _faults(weights: Sequence[StoredWeight], design: ShippedDesign, network: ShippedNetwork) -> Iterator[str]:
    if not weights:
        yield "the file stores no codes"
        return
    for weight in weights:
        if design.quant_step is None or weight.step != np.float32(design.quant_step) or weight.zero:
            yield f"'{weight.name}' has scale {weight.step:g} and zero point {weight.zero}"
        if np.abs(weight.quantized.codes).max(initial=0) > largest_code(weight.quantized.container):
            yield f"'{weight.name}' has a code outside the symmetric range of {weight.quantized.container}"
    r_effective = effective_ratio([weight.quantized.codes for weight in weights])
    if abs(r_effective - network.r_effective) > 1e-9:
        yield f"R_eff is {r_effective:.6g}"


def _differences(
    weights: Sequence[StoredWeight], design: ShippedDesign, network: ShippedNetwork, source: Network | None
) -> Iterator[str]:
    if source is None or design.pruning_ratio is None or design.quant_step is None:
        return
    if source.sha256 != network.source.sha256:
        yield f"the source network of the bundle is not {source.path}"
        return
    recipe = Recipe(
        design.pruning_ratio, design.quant_step, per_tensor=network.per_tensor, clip_to=network.clip,
        full_int8=network.activations == "int8",
    )  # fmt: skip
    expected = compress_weights(source, recipe).tensors
    stored = {weight.name: weight.quantized.codes for weight in weights}
    if expected.keys() != stored.keys():
        yield f"the stored tensors are {', '.join(sorted(stored))}"
    for name in expected.keys() & stored.keys():
        if not np.array_equal(expected[name].codes, stored[name]):
            yield f"the codes of '{name}' differ from Eq. (5)"
