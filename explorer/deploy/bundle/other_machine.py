"""Warnings of a bundle for a device other than the machine that the model's samples were measured on."""

from explorer.deploy.bundle.selected import SelectedDesign
from explorer.devices.device import read_device
from explorer.devices.machines import check_machine
from explorer.errors import NoFeasibleDesign
from explorer.models.machine import is_timed


def check_selected_machine(
    selected: SelectedDesign, *, device: str | None, allow_other_machine: bool
) -> tuple[str, ...]:
    """Compare the machine of a chosen design with the device that it is deployed to; return the warnings.

    Args:
        selected: the chosen design.
        device: name or file of the device; None uses the one of chosen.json, if any.
        allow_other_machine: accept predictions of another machine.

    Raises:
        WrongUsage: no such device.
        InvalidFile: the device's file is invalid.
        NoFeasibleDesign: the samples were measured on another machine, which is not allowed.
    """
    file, is_other, texts = selected.file, selected.file.is_other_machine, list(selected.file.warnings)
    device = device or (file.applied.device if file.applied else None)
    predicted = [name for name, value in selected.columns.items() if value is not None]
    if device is not None and file.provenance.question.live is None and is_timed(predicted):
        check = check_machine(file.machine, device, read_device(device))
        is_other |= check.relation == "other"
        texts += [check.text] if check.text else []
    if is_other and not allow_other_machine:
        reason = next((text for text in reversed(texts) if text.startswith("numbers of another")), "")
        raise NoFeasibleDesign(
            reason or "the numbers of this design are those of another machine",
            fix="measure samples on that device (their column 'machine' names it, or machine = '...' in the device's "
            "file does), or take the risk with --allow-other-machine",
        )
    return tuple(dict.fromkeys(texts))
