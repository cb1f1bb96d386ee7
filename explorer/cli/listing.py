"""`explorer list` and `explorer schema`: what ships, and what declarations may say."""

from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """The files that have a schema."""

    study = "study"
    space = "space"
    device = "device"
    deploy = "deploy"


def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False) -> None:
    """List what can be named: studies, search spaces, devices, models, networks, objectives and samplers."""
    from explorer.cli.console import print_json, print_table, print_text
    from explorer.io.catalog import aliases, list_declarations, title_of
    from explorer.network.graph.model import shipped_networks
    from explorer.problem.declarations.study import SHIPPED_MODELS
    from explorer.problem.objectives import OBJECTIVES
    from explorer.problem.study import SAMPLERS

    studies = [{"name": p.stem, "title": title_of(p), "file": str(p)} for p in list_declarations("studies")]
    spaces = [{"name": p.stem, "title": title_of(p), "file": str(p)} for p in list_declarations("search_spaces")]
    devices = [
        {"name": p.stem, "also": list(aliases(p)), "title": title_of(p), "file": str(p)}
        for p in list_declarations("search_spaces/devices")
    ]
    objectives = [{"name": o.name, "direction": o.direction, "label": o.title} for o in OBJECTIVES.values()]
    if as_json:
        print_json(
            {
                "schema": "explorer.list/1",
                "studies": studies,
                "search_spaces": spaces,
                "devices": devices,
                "models": [*SHIPPED_MODELS],
                "networks": list(shipped_networks()),
                "objectives": objectives,
                "samplers": list(SAMPLERS),
            }
        )
        return
    print_table(["study", "what it asks"], [[s["name"], s["title"]] for s in studies])
    print_text("")
    print_table(["search space", "what it is"], [[s["name"], s["title"]] for s in spaces])
    print_text("")
    called = [[" or ".join((p.stem, *aliases(p))), title_of(p)] for p in list_declarations("search_spaces/devices")]
    print_table(["device", "whose operating points"], called)
    print_text("")
    print_table(["objective", "direction", "meaning"], [[o["name"], o["direction"], o["label"]] for o in objectives])
    print_text("")
    print_text("models: paper (ten samples), h100 (360 measured rows), or a model.json or samples CSV of your own")
    print_text(f"networks to measure, on the data `digits`: {', '.join(shipped_networks())}")
    print_text(f"samplers: {', '.join(SAMPLERS)}")


def schema(
    kind: Annotated[Kind | None, typer.Argument(help="Which kind of file.", show_default="all, by name")] = None,
) -> None:
    """Print the JSON schema of a study, search space or device, for an editor, or of a bundle's manifest."""
    from explorer.cli.console import print_json
    from explorer.deploy.bundle.schema import ManifestFile
    from explorer.devices.device import DeviceFile
    from explorer.problem.declarations.space import SpaceFile
    from explorer.problem.study import StudyFile

    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schemas = {
        Kind.study: StudyFile.model_json_schema(),
        Kind.space: SpaceFile.model_json_schema(),
        Kind.deploy: ManifestFile.model_json_schema(),
        Kind.device: DeviceFile.model_json_schema(),
    }
    if kind is None:
        print_json({str(name): {**draft, **schema} for name, schema in schemas.items()})
    else:
        print_json({**draft, **schemas[kind]})
