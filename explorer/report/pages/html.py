"""Self-contained HTML page from headings, paragraphs, tables and plots: no network, light or dark, any width."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from explorer.io.outputs import GENERATOR

Tone = Literal["good", "bad", "warn", "neutral"]


@dataclass(frozen=True, slots=True)
class Heading:
    """Heading; level 2 for a section, 3 for a subsection."""

    text: str
    level: Literal[2, 3] = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Paragraph of plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Warnings:
    """Box with a heading and one line for each warning."""

    heading: str
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Tag:
    """Coloured short word in a table cell; the colour carries no information beyond the word."""

    text: str
    tone: Tone = "neutral"


@dataclass(frozen=True, slots=True)
class Grid:
    """Table of text; columns of numbers are right-aligned, wide tables scroll in their own box."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str | Tag]]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """Plotly figure with a caption."""

    figure: Any
    caption: str = ""


@dataclass(frozen=True, slots=True)
class App:
    """Interactive part of a page: markup, style, script, and the data that the script reads.

    Markup, style and script are files of this package and are not escaped; all text of a user is in `data`.
    """

    markup: str
    style: str
    script: str
    data: Mapping[str, Any]


Block = Heading | Paragraph | Warnings | Grid | Plot | App

# Content Security Policy: inline scripts and styles only, no network access.
_POLICY = "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; img-src data: blob:"

_STYLE = """
:root { color-scheme: light dark; --bg: #ffffff; --fg: #1f2328; --soft: #59636e; --line: #d1d9e0; --head: #f6f8fa;
  --good: #1a7f37; --bad: #c2210f; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --bg: #14171a; --fg: #e6e9ec; --soft: #9aa4ae; --line: #353b42;
  --head: #1d2126; --good: #4cc26a; --bad: #ff7b6b; --warn: #e0a92e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--fg); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 75rem; margin: 0 auto; padding: 1rem clamp(0.75rem, 3vw, 2rem) 4rem; }
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); line-height: 1.2; margin: 1rem 0 0.5rem; }
h2 { font-size: 1.4rem; margin: 2.5rem 0 0.5rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 1.75rem 0 0.25rem; }
p, figcaption { max-width: 48rem; overflow-wrap: anywhere; }
.lead { font-size: 1.1rem; color: var(--soft); }
figure { margin: 1rem 0 1.5rem; }
figcaption { color: var(--soft); font-size: 0.9rem; margin: 0.25rem 0; }
.plot { width: 100%; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { padding: 0.35rem 0.6rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { background: var(--head); white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
td.wide { min-width: 15rem; }
/* On a phone a table of sentences becomes a list: each row a block, each cell prefixed with its header. */
@media (max-width: 40rem) {
  .text thead { display: none; }
  .text tr { display: block; padding: 0.4rem 0; border-bottom: 1px solid var(--line); }
  .text td { display: block; border: 0; padding: 0.1rem 0.6rem; min-width: 0;
    overflow-wrap: anywhere; text-align: left; }
  .text td::before { content: attr(data-label) ": "; color: var(--soft); }
}
.warnings { border: 1px solid var(--warn); border-left-width: 0.4rem; border-radius: 6px; margin: 1rem 0 1.5rem;
  padding: 0.6rem 1rem; overflow-wrap: anywhere; }
.warnings p { margin: 0; color: var(--warn); }
.warnings ul { margin: 0.3rem 0 0; padding-left: 1.2rem; max-width: 60rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tag { font-weight: 600; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); } .neutral { color: var(--soft); }
/* Plotly sets fixed text colours; these rules follow the light or dark scheme of the browser instead. */
.plot :is([class$="tick"], .cbtitle, .cbaxis, .slider-group, .legend, .annotation, .infolayer .g-gtitle) text,
.plot :is([class$="title"], .legendtext, .legendtitletext, .annotation-text, .slider-label,
  .slider-current-value, .cbtitle text) { fill: var(--fg) !important; }
"""


def render_page(*, title: str, lead: str, blocks: Sequence[Block]) -> str:
    """Return an HTML file with the blocks in order and, if there are plots, plotly.js embedded once (about 4 MB).

    Args:
        title: heading and window title.
        lead: summary in one or two sentences.
        blocks: `Heading`, `Paragraph`, `Grid`, `Plot` and `App` values; all text is escaped.

    Returns:
        Text of the file. It depends on the arguments only: equal results give equal files.
    """
    body = "\n".join(_block(block, number) for number, block in enumerate(blocks))
    has_plots = any(isinstance(block, (Plot, App)) for block in blocks)
    style = _STYLE + "".join(block.style for block in blocks if isinstance(block, App))
    script = _plotly_js() if has_plots else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="generator" content="{GENERATOR}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        f'<link rel="icon" href="data:,">\n<style>{style}</style>\n{script}</head>\n<body>\n'
        f'<main>\n<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>\n"


def _block(block: Block, number: int) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Warnings(heading, texts):
            lines = "".join(f"<li>{escape(text)}</li>" for text in texts)
            return (
                f'<aside class="warnings" role="note"><p><strong>{escape(heading)}</strong></p><ul>{lines}</ul></aside>'
            )
        case Grid():
            return _grid(block)
        case Plot():
            return _plot(block, number)
        case App():
            return _app(block)


def _app(block: App) -> str:
    # JSON treats "\u003c" and "<" alike; without "<" no text in the data can close the script element.
    data = json.dumps(block.data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<noscript><p class="bad">This part of the page needs JavaScript. The file front.csv has the same numbers.</p>'
        f'</noscript>\n{block.markup}\n<script type="application/json" id="live-data">{data}</script>\n'
        f"<script>\n(() => {{\n{block.script}\n}})();\n</script>"
    )


def _plot(block: Plot, number: int) -> str:
    # A numbered id keeps the page reproducible; plotly's default id is random.
    # No mode bar: on a phone it would cover the legend. Dragging still zooms, a double click resets.
    config = {"responsive": True, "displayModeBar": False}
    markup = block.figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=f"plot-{number}", config=config, default_height="auto"
    )
    return f'<figure>\n<div class="plot">{markup}</div>\n{_caption(block.caption)}</figure>'


def _grid(block: Grid) -> str:
    is_number = [all(_is_number(row[i]) for row in block.rows) for i in range(len(block.headers))]
    columns = list(zip(block.headers, is_number, strict=True))
    head = "".join(f"<th{_class(number)}>{escape(name)}</th>" for name, number in columns)
    rows = "\n".join(
        f"<tr>{''.join(_cell(cell, *column) for cell, column in zip(row, columns, strict=True))}</tr>"
        for row in block.rows
    )
    has_sentences = any(_is_long(cell) for row in block.rows for cell in row)
    kind = ' class="text"' if has_sentences else ""
    table = f"<table{kind}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    # The box scrolls instead of the page; tabindex makes it scrollable by keyboard.
    return f'<figure>\n{_caption(block.caption)}<div class="scroll" tabindex="0">{table}</div>\n</figure>'


def _caption(text: str) -> str:
    return f"<figcaption>{escape(text)}</figcaption>\n" if text else ""


def _cell(cell: str | Tag, header: str, number: bool) -> str:
    label = f' data-label="{escape(header)}"'
    if isinstance(cell, Tag):
        return f'<td{label}><span class="tag {cell.tone}">{escape(cell.text)}</span></td>'
    kind = ' class="wide"' if _is_long(cell) else _class(number)
    return f"<td{label}{kind}>{escape(cell)}</td>"


def _is_long(cell: str | Tag) -> bool:
    """Return True for a cell with a sentence (more than 40 characters), which needs a minimum width."""
    return isinstance(cell, str) and len(cell) > 40


def _class(number: bool) -> str:
    return ' class="number"' if number else ""


def _is_number(cell: str | Tag) -> bool:
    """Return True for a number, with or without its interval ('75.5 (66.7 to 87.5)'), and for an empty cell."""
    try:
        float(cell.partition(" (")[0] if isinstance(cell, str) else "x")
    except ValueError:
        return cell in {"", "-"}
    return True
