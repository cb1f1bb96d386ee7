"""`explorer doctor`: checks of this machine."""

from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False) -> None:
    """Check this machine: optional parts, energy meters, clocks, and how to install missing parts."""
    from dataclasses import asdict

    from explorer.api.machine import doctor as check_machine
    from explorer.cli.console import print_json, print_table

    findings = check_machine()
    if as_json:
        print_json({"schema": "explorer.doctor/1", "findings": [asdict(finding) for finding in findings]})
        return
    print_table(["part", "here", "what", "to get it"],
                [[f.part, "yes" if f.is_there else "no", f.told, f.fix] for f in findings])  # fmt: skip
