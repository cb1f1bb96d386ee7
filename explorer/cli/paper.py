"""`explorer paper`: the source paper again, and the audit of its claims."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from explorer.api.audit import Audit

# `results/paper` belongs to the study of that name.
_DEFAULT_OUT = Path("results/paper-audit")
_WIDE = 120


def paper(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the audit as JSON and nothing else; write files only with --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help=f"Folder for the page and images; {_DEFAULT_OUT} by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that explorer did not write.")] = False,
    table: Annotated[
        Path | None, typer.Option("--table", help="Audit a changed copy of the paper's table (CSV) instead.")
    ] = None,
) -> None:
    """Print the paper's tables and the audit of its claims; write its figures and the audit as a page.

    Writes paper.html (open it in any browser, no network needed), paper.json, and PNG and SVG of every figure where
    kaleido and a browser are there to draw them.
    """
    from explorer import api
    from explorer.cli.console import note, print_json

    audit = api.paper(table)
    if as_json:
        print_json(audit.to_json())
    else:
        _print(audit)
    if out is None and as_json:
        return
    folder = out or _DEFAULT_OUT
    images, why = audit.save(folder, force=force)
    note(f"wrote {folder / 'paper.html'} (figures and audit) and paper.json")
    note(f"note: no PNG or SVG of the figures: {why}" if why else f"wrote {len(images)} images beside them")


def _print(audit: "Audit") -> None:
    from explorer.cli.console import print_prose, print_table, stdout

    for title, (headers, rows) in audit.printed_tables.items():
        print_table(headers, rows, title=title)
        print_prose("")
    title, claims = "What the paper says, recomputed", audit.claims
    if stdout().width < _WIDE:
        # Four columns of sentences would be slivers in a narrow terminal.
        pairs = [(f"{c.verdict}\n{c.section}", f"{c.statement}\nrecomputed: {c.computed}\n") for c in claims]
        print_table(("verdict, where", "statement"), pairs, title=title)
    else:
        table = [(c.verdict, c.section, c.statement, c.computed) for c in claims]
        print_table(("verdict", "where", "statement", "recomputed"), table, title=title)
    print_prose("")
    print_prose(audit.summary)
