"""The command line: which commands there are, and how an error leaves the program."""

import os
import sys
from typing import Annotated

import typer

from explorer.cli import choose as choosing
from explorer.cli import compare as comparing
from explorer.cli import dashboard as dashboards
from explorer.cli import deploy, doctor, explain, fit, front, init, inspect, measure, paper, predict, verify
from explorer.cli import import_opp as opp
from explorer.cli import listing as catalog
from explorer.cli import run as running
from explorer.errors import ExplorerError

app = typer.Typer(
    name="explorer",
    help="Explore designs for the energy-efficient deployment of a neural network.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # paragraphs are filled to the terminal's width
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"explorer {version('explorer')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("run")(running.run)
app.command("front")(front.front)
app.command("report")(front.report)
app.command("choose")(choosing.choose)
app.command("explain")(explain.explain)
app.command("deploy")(deploy.deploy)
app.command("verify")(verify.verify)
app.command("compare")(comparing.compare)
app.command("dashboard")(dashboards.dashboard)
app.command("fit")(fit.fit)
app.command("predict")(predict.predict)
app.command("inspect")(inspect.inspect)
app.command("measure")(measure.measure)
app.command("paper")(paper.paper)
app.command("init")(init.init)
app.command("import-opp")(opp.import_opp)
app.command("list")(catalog.list_)
app.command("schema")(catalog.schema)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command line; print a user's error in a few lines and exit with its code."""
    try:
        app()
    except ExplorerError as error:
        from explorer.cli.console import note

        sys.stdout.flush()
        note(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        from explorer.cli.console import note

        note("interrupted; what was stored is kept")
        sys.exit(130)
    except BrokenPipeError:
        # `explorer front x | head` is not an error; Python would complain once more while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
