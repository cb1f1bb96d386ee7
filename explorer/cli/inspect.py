"""`explorer inspect`: shows how a network would be fed, read, scored and compressed, in one screen."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from explorer.api.measurement import Inspection

_WIDTH = 79
_INDENT = " " * 9
_MAX_PORTS, _MAX_NOTES, _MAX_PROBLEMS, _MAX_OPERATORS = 4, 4, 4, 6


def inspect(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx", help="An ONNX file, or a shipped network's name.")],
    data: Annotated[
        str | None, typer.Option("--data", help="VALIDATION.npz with x and y; `digits`; or python:MODULE.")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", metavar="NAME", help="The output to score.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="NAME:min|max", help="What `score` of the data returns; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show inputs, outputs, batch, weights that compression reaches, MACs, and obstacles to a measurement.

    With data, the scored output and the batch are decided as `explorer measure` decides them.
    """
    from explorer import api
    from explorer.cli.console import print_json, print_text

    result = api.inspect(model, data=data, output=output, targets=target or ())
    if as_json:
        print_json(result.to_json())
        return
    for line in _lines(result.to_json(), result, has_data=data is not None):
        print_text(line)


def _lines(facts: dict[str, Any], result: "Inspection", *, has_data: bool) -> Iterator[str]:
    """Yield the lines of the screen, at most 79 columns."""
    title = f"{result.network.path.name}: {facts['n_bytes']:,} bytes, opset {facts['opset']}"
    yield f"{title}, SHA-256 {facts['sha256'][:12]}"
    for kind in ("inputs", "outputs"):
        ports = facts[kind]
        for i, port in enumerate(ports[:_MAX_PORTS]):
            is_scored = kind == "outputs" and port["name"] == facts["scored_output"]
            text = f"{port['name']} {port['type']} {_shape(port['shape'])}{', scored' if is_scored else ''}"
            yield from _entry(kind if i == 0 else "", text)
        if len(ports) > _MAX_PORTS:
            yield from _entry("", f"and {len(ports) - _MAX_PORTS} more (--json)")
    yield from _entry("scored", _scored(result, has_data=has_data))
    yield from _entry("batch", _batch(result))
    n, reached = facts["n_weights"], facts["n_weights_compressible"]
    share = f" ({reached / n:.1%}): {_operators(facts, is_compressed=True)}" if n and reached else ""
    yield from _entry("weights", f"{reached:,} of {n:,} can be compressed{share}")
    unreached = _operators(facts, is_compressed=False)
    if unreached:
        yield from _entry("", f"as they are, biases and scales included: {unreached}")
    macs = "-" if facts["n_macs"] is None else f"{facts['n_macs']:,} a run, {facts['n_accesses']:,} memory accesses"
    yield from _entry("MACs", macs)
    for note in facts["notes"][:_MAX_NOTES]:
        yield from _entry("note", note)
    problems = facts["problems"]
    for problem in problems[:_MAX_PROBLEMS]:
        yield from _problem(problem["problem"], f"Fix: {problem['fix']}")
    if len(problems) > _MAX_PROBLEMS:
        yield from _entry("", f"and {len(problems) - _MAX_PROBLEMS} more (--json)")
    if not problems:
        yield from _entry("problem", "none")


def _entry(title: str, text: str) -> list[str]:
    """Return the lines of one entry: its title, then its text, three lines at most."""
    lines = textwrap.wrap(
        text, _WIDTH, initial_indent=f"{title:<9}", subsequent_indent=_INDENT, break_on_hyphens=False, max_lines=3,
        placeholder=" ...",
    )  # fmt: skip
    return lines or [title]


def _problem(what: str, fix: str) -> list[str]:
    """Return the lines of a problem; a long one is cut before its fix is."""
    lines = _entry("problem", f"{what}. {fix}")
    return lines if not lines[-1].endswith(" ...") else [*_entry("problem", what), *_entry("", fix)]


def _shape(shape: Sequence[int | str | None]) -> str:
    lengths = ["?" if length is None else str(length) for length in shape]
    return f"({', '.join(lengths)}{',' if len(lengths) == 1 else ''})"


def _scored(result: "Inspection", *, has_data: bool) -> str:
    task = result.task
    if task is None and has_data:
        return "-"
    if task is None:
        names = ", ".join(port.name for port in result.outputs[:_MAX_PORTS])
        return names if len(result.outputs) == 1 else f"needs --data to decide; candidates: {names}"
    source = ", ".join(quality.text(name) for name, quality in task.source.items())
    return f"{task.output or 'by the module'}: {source}"


def _batch(result: "Inspection") -> str:
    fixed = "free" if result.fixed_batch is None else f"fixed at {result.fixed_batch}"
    if result.task is None:
        return fixed
    feeds = result.task.prepared
    if feeds is not None and not feeds.is_stacked and result.fixed_batch is None:
        return "1 a run, though it is free in the file (see the note)"
    return f"{fixed}; a timed run has {result.task.batch}"


def _operators(facts: dict[str, Any], *, is_compressed: bool) -> str:
    groups: dict[str, int] = {}
    for group in facts["coverage"]:
        if group["is_compressed"] == is_compressed:
            groups[group["operator"]] = groups.get(group["operator"], 0) + group["n_parameters"]
    named = [f"{operator} {n:,}" for operator, n in list(groups.items())[:_MAX_OPERATORS]]
    return ", ".join([*named, "..."] if len(groups) > _MAX_OPERATORS else named)
