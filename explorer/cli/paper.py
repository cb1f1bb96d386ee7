"""`explorer paper`: the source paper again, and the audit of its claims."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from explorer.paper.audit.checks import AuditedStatement
    from explorer.paper.tables import Table

# `results/paper` belongs to the study of that name.
_DEFAULT_OUT = Path("results/paper-audit")
_WIDE = 120

Printed = Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]]

# Header, column, and what one printed unit is in SI.
_TABLE_1 = (
    ("#", "sample", 1.0), ("sample", "name", 1.0), ("epochs", "epochs", 1.0), ("batch", "batches", 1.0),
    ("GMAC", "mac_ops", 1e9), ("Gmem", "mem_accesses", 1e9), ("pJ/MAC", "mac_energy_j", 1e-12),
    ("pJ/mem", "access_energy_j", 1e-12), ("P_avg W", "average_power_w", 1.0), ("T s", "inference_time_s", 1.0),
    ("R", "pruning_ratio", 1.0),
)  # fmt: skip
_TABLE_2 = (
    ("sample", "name", 1.0), ("Δ", "quant_step", 1.0), ("MB", "original_size_bytes", 1e6),
    ("→MB", "compressed_size_bytes", 1e6), ("CR", "compression_ratio", 1.0), ("V", "voltage_v", 1.0),
    ("GHz", "frequency_hz", 1e9), ("nF", "capacitance_f", 1e-9), ("TOPS", "throughput_ops", 1e12),
    ("W", "power_w", 1.0), ("acc", "accuracy", 1.0), ("E J", "total_energy_j", 1.0), ("EDP J·s", "edp_js", 1.0),
)  # fmt: skip


def paper(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the audit as JSON and nothing else; write files only with --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help=f"Folder for the page and images; {_DEFAULT_OUT} by default.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="Audit a changed copy of the paper's table (CSV) instead.")
    ] = None,
) -> None:
    """Print the paper's tables and the audit of its claims; write its figures and the audit as a page.

    Writes paper.html (open it in any browser, no network needed), paper.json, and PNG and SVG of every figure where
    kaleido and a browser are there to draw them.
    """
    from explorer.cli.console import note, print_json
    from explorer.paper.audit.statements import audit

    samples = _table(table)
    claims = audit(samples)
    payload = {"schema": "explorer.paper/1", "claims": [asdict(claim) for claim in claims]}
    tables = printed_tables(samples)
    if as_json:
        print_json(payload)
    else:
        _print(tables, claims)
    if out is not None or not as_json:
        for line in _write(out or _DEFAULT_OUT, samples, claims, tables=tables, payload=payload):
            note(line)


def _table(path: Path | None) -> "Table":
    from explorer.io.files import MAX_DECLARATION_BYTES, read_text
    from explorer.paper.tables import paper_table, parse_table

    if path is None:
        return paper_table()
    return parse_table(read_text(path, max_bytes=MAX_DECLARATION_BYTES), path=path)


def printed_tables(table: "Table") -> Printed:
    """Return Tables 1 and 2 in the paper's units, as text."""
    result = {}
    for title, columns in (
        ("Table 1: workload, energy of an operation, power, time, pruning", _TABLE_1),
        ("Table 2: compression, operating point, throughput, power, accuracy, energy", _TABLE_2),
    ):
        cells = [[_cell(value, scale) for value in table[name].tolist()] for _, name, scale in columns]
        result[title] = ([header for header, _, _ in columns], list(zip(*cells, strict=True)))
    return result


def _cell(value: str | float, scale: float) -> str:
    return value if isinstance(value, str) else f"{value / scale:.4g}"


def _print(tables: Printed, claims: Sequence["AuditedStatement"]) -> None:
    from explorer.cli.console import print_table, print_text, stdout
    from explorer.report.pages.paper import summary

    for title, (headers, rows) in tables.items():
        print_table(headers, rows, title=title)
        print_text("")
    title = "What the paper says, recomputed"
    if stdout().width < _WIDE:
        # Four columns of sentences would be slivers in a narrow terminal.
        pairs = [(f"{c.verdict}\n{c.section}", f"{c.statement}\nrecomputed: {c.computed}\n") for c in claims]
        print_table(("verdict, where", "statement"), pairs, title=title)
    else:
        rows = [(c.verdict, c.section, c.statement, c.computed) for c in claims]
        print_table(("verdict", "where", "statement", "recomputed"), rows, title=title)
    print_text("")
    print_text(summary(claims))


def _write(
    folder: Path, table: "Table", claims: Sequence["AuditedStatement"], *, tables: Printed, payload: Mapping[str, Any]
) -> list[str]:
    """Write the page, the JSON and, where they can be drawn, the images; return what to tell the user."""
    import json

    from explorer.errors import MissingPart
    from explorer.io.files import write_text
    from explorer.report.pages.paper import paper_figures, paper_page
    from explorer.report.plots.images import NoBrowser, write_images

    figures = paper_figures(table)
    write_text(folder / "paper.html", paper_page(figures=figures, claims=claims, tables=tables))
    write_text(folder / "paper.json", json.dumps(payload, indent=2, ensure_ascii=False) + "\n")
    written = [f"wrote {folder / 'paper.html'} (figures and audit) and paper.json"]
    try:
        images = write_images(figures, folder)
    except (MissingPart, NoBrowser) as error:
        return [*written, f"note: no PNG or SVG of the figures: {error}"]
    return [*written, f"wrote {len(images)} images beside them"]
