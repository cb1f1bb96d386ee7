"""`explorer list` and `explorer schema`: names that can be given, and the schemas of declarations."""

from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """The files that have a schema."""

    study = "study"
    space = "space"
    device = "device"
    deploy = "deploy"
    governor = "governor"


def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False) -> None:
    """List what can be named: studies, search spaces, devices, models, networks, objectives and samplers."""
    from explorer import api
    from explorer.cli.console import print_json, print_prose, print_table

    names = api.catalog()
    if as_json:
        print_json(names)
        return
    print_table(["study", "title"], [[s["name"], s["title"]] for s in names["studies"]])
    print_prose("")
    print_table(["search space", "title"], [[s["name"], s["title"]] for s in names["search_spaces"]])
    print_prose("")
    devices = [[" or ".join((d["name"], *d["also"])), d["title"]] for d in names["devices"]]
    print_table(["device", "title"], devices)
    print_prose("")
    objectives = [[o["name"], o["direction"], o["label"]] for o in names["objectives"]]
    print_table(["objective", "direction", "meaning"], objectives)
    print_prose("")
    print_prose("models: paper (ten samples), h100 (360 measured rows), or a model.json or samples CSV of your own")
    print_prose(f"networks to measure, on the data `digits`: {', '.join(names['networks'])}")
    print_prose(f"samplers: {', '.join(names['samplers'])}")


def schema(
    kind: Annotated[Kind | None, typer.Argument(help="Which kind of file.", show_default="all, by name")] = None,
) -> None:
    """Print the JSON schema of a study, search space or device, for an editor, or of a bundle's files."""
    from explorer import api
    from explorer.cli.console import print_json

    schemas = api.schema()
    print_json(schemas if kind is None else schemas[kind.value])
