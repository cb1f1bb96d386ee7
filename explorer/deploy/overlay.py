"""A device-tree overlay that caps the clock: operating points above the chosen one are disabled."""

from explorer.deploy.target import Target


def points_above(target: Target) -> list[str] | None:
    """Return the nodes of the operating points above the applied one; None where the tree's names are not known."""
    above = [node for hertz, node in zip(target.clocks_hz, target.nodes, strict=True) if hertz > target.clock_hz]
    return above if target.opp_table and all(above) else None


def overlay(target: Target) -> str:
    """Return the overlay's source, for `dtc -@`; '' where there is nothing above, or the tree's names are not known.

    Linux passes over operating points whose node has status = "disabled".
    """
    above = points_above(target)
    if not above:
        return ""
    nodes = "\n".join(f'\t{node} {{\n\t\tstatus = "disabled";\n\t}};\n' for node in above)
    return (
        "/dts-v1/;\n/plugin/;\n\n"
        f"/* Caps the clock at {target.clock_hz / 1e6:.10g} MHz. Build: dtc -@ -I dts -O dtb -o cap.dtbo cap.dts */\n"
        f"&{target.opp_table} {{\n{nodes}}};\n"
    )
