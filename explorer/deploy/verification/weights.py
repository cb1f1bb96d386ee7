"""Whether the codes in a bundle's network are those of Eq. (5) at the step that its manifest tells."""

from collections.abc import Iterator, Sequence

import numpy as np

from explorer.deploy.bundle.schema import ShippedDesign, ShippedNetwork
from explorer.deploy.verification.check import Check
from explorer.network.compression.compress import Recipe, compress_weights
from explorer.network.compression.quantization import effective_ratio, largest_code
from explorer.network.compression.stored_weights import StoredWeight
from explorer.network.graph.model import Network

_SHOWN = 3


def verify_weights(
    weights: Sequence[StoredWeight], design: ShippedDesign, *, network: ShippedNetwork, source: Network | None
) -> Check:
    """Hold stored codes against a design.

    Args:
        weights: what the file stores.
        design: its R and D.
        network: what the manifest tells of the file.
        source: the network that it was made from, if at hand: then every code is computed anew and compared.
    """
    promised = f"Eq. (5), D = {design.quant_step:g}, R_eff = {network.r_effective:.6g}"
    faults = [*_faults(weights, design, network), *_differences(weights, design, network, source)]
    if faults:
        return Check("codes", promised, "; ".join(faults[:_SHOWN]), "broken", "deploy it again")
    n = sum(weight.coded.codes.size for weight in weights)
    how = "each compared with the source's" if source else "scale D and zero point 0"
    return Check("codes", promised, f"{n:,} codes in {len(weights)} tensors, {how}", "kept")


def _faults(weights: Sequence[StoredWeight], design: ShippedDesign, network: ShippedNetwork) -> Iterator[str]:
    if not weights:
        yield "the file stores no codes"
        return
    for weight in weights:
        if design.quant_step is None or weight.step != np.float32(design.quant_step) or weight.zero:
            yield f"'{weight.name}' has scale {weight.step:g} and zero point {weight.zero}"
        if np.abs(weight.coded.codes).max(initial=0) > largest_code(weight.coded.container):
            yield f"'{weight.name}' has a code that {weight.coded.container} holds on one side of zero only"
    found = effective_ratio([weight.coded.codes for weight in weights])
    if abs(found - network.r_effective) > 1e-9:
        yield f"R_eff is {found:.6g}"


def _differences(
    weights: Sequence[StoredWeight], design: ShippedDesign, network: ShippedNetwork, source: Network | None
) -> Iterator[str]:
    if source is None or design.pruning_ratio is None or design.quant_step is None:
        return
    if source.sha256 != network.source.sha256:
        yield f"it was made from another network than {source.path}"
        return
    recipe = Recipe(
        design.pruning_ratio, design.quant_step, per_tensor=network.per_tensor, clip_to=network.clip,
        full_int8=network.activations == "int8",
    )  # fmt: skip
    mine = compress_weights(source, recipe).tensors
    stored = {weight.name: weight.coded.codes for weight in weights}
    if mine.keys() != stored.keys():
        yield f"it stores the tensors {', '.join(sorted(stored))}"
    for name in mine.keys() & stored.keys():
        if not np.array_equal(mine[name].codes, stored[name]):
            yield f"'{name}' has other codes than Eq. (5) gives"
