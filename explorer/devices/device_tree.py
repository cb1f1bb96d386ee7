"""Bounded parser of device tree source (DTS), as far as tables of operating points need it.

It parses nodes, labels, references to labels, properties, cells and strings. It runs no C preprocessor and reads no
included files: a cell that depends on either is None, and a fault where a number is required.
Source of the grammar: Devicetree Specification v0.4, chapter 6.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from explorer.errors import Fault, InvalidFile

MAX_BYTES = 8_000_000
MAX_DEPTH = 64
MAX_TOKENS = 2_000_000
_MAX_DIGITS = 20
_TOKEN = re.compile(
    r"""(?P<skip>\s+|\\\n|/\*.*?\*/|//[^\n]*
        |^[ \t]*\#[ \t]*(?:include|define|undef|ifn?def|if|elif|else|endif|pragma|line|\d)(?:\\\n|[^\n])*)
      |(?P<string>"(?:[^"\\\n]|\\.)*")
      |(?P<bytes>\[[0-9a-fA-F\s]*\])
      |(?P<bits>/bits/)|(?P<directive>/[a-z0-9-]+/)
      |(?P<label>[A-Za-z_]\w*:)
      |(?P<reference>&(?:[A-Za-z_]\w*|\{[^}\n]*\}))
      |(?P<number>0[xX][0-9a-fA-F]+[uUlL]*(?![\w,.+#@-])|\d+[uUlL]*(?![\w,.+#@-]))
      |(?P<name>[\w,.+?\#@-]+|/(?=\s*\{))
      |(?P<mark>[{}<>;=,])
      |(?P<expression>\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


@dataclass(slots=True)
class Node:
    """Node of a device tree: numeric properties in `cells`, text in `strings`, empty ones in `flags`.

    A cell that is not a plain number (a macro, a reference, an expression) is None. A 64-bit cell is one number; the
    properties with such cells are in `is_wide`.
    """

    name: str
    label: str
    line: int
    cells: dict[str, list[int | None]] = field(default_factory=dict)
    strings: dict[str, list[str]] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    is_wide: set[str] = field(default_factory=set)
    children: list["Node"] = field(default_factory=list)

    def walk(self) -> Iterator["Node"]:
        """Yield this node and its descendants in depth-first order."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


def parse_device_tree(text: str, *, path: object) -> Node:
    """Parse device tree source into its root; a node that extends another one (`&label { ... }`) is merged into it.

    Raises:
        InvalidFile: the text is not device tree source; the fault names the line.
    """
    root = _Parser(list(_tokens(text, path)), path).parse()
    labels = {node.label: node for node in root.walk() if node.label}
    for node in [child for child in root.children if child.name.startswith("&")]:
        target = labels.get(node.name[1:])
        if target is not None and target is not node:
            root.children.remove(node)
            _merge(target, node)
    return root


def _tokens(text: str, path: object) -> Iterator[_Token]:
    position, line, n = 0, 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or n > MAX_TOKENS:
            excerpt = text[position : position + 20].split("\n", maxsplit=1)[0]
            what = f"'{excerpt}' is not device tree source" if match is None else "has too many tokens"
            fix = "give a .dts or .dtsi, or decompile a blob: dtc -I dtb -O dts"
            raise InvalidFile(path, [Fault(f"line {line}", what, fix)])
        kind = str(match.lastgroup)
        if kind != "skip":
            yield _Token(kind, match.group(), line)
            n += 1
        line += match.group().count("\n")
        position = match.end()


class _Parser:
    """Recursive descent parser over the tokens, with the index of the next one."""

    def __init__(self, tokens: list[_Token], path: object) -> None:
        self._tokens, self._index, self._path = tokens, 0, path

    def parse(self) -> Node:
        root = Node("", "", 1)
        while self._peek() is not None:
            token = self._next()
            if self._skip(token):
                continue
            label = ""
            while token.kind == "label":
                label, token = token.text[:-1], self._next()
            if token.kind not in {"name", "reference"}:
                raise self._unexpected(token, "a node")
            self._expect("{")
            self._node(root, Node(token.text, label, token.line), depth=1)
        return root

    def _node(self, parent: Node, node: Node, *, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise InvalidFile(self._path, [Fault(f"line {node.line}", "is nested too deeply", "check the braces")])
        parent.children.append(node)
        while (token := self._next()).text != "}":
            if self._skip(token):
                continue
            label = ""
            while token.kind == "label":
                label, token = token.text[:-1], self._next()
            if token.kind not in {"name", "number"}:
                raise self._unexpected(token, "a property or a node")
            after = self._next()
            if after.text == "{":
                self._node(node, Node(token.text, label, token.line), depth=depth + 1)
            elif after.text == ";":
                node.flags.add(token.text)
            elif after.text == "=":
                self._property(node, token.text)
            elif after.kind == "expression":  # a macro of pins and the like, without clocks
                self._skip_statement(after)
            else:
                raise self._unexpected(after, f"'=', ';' or '{{' after '{token.text}'")
        self._expect(";")

    def _property(self, node: Node, name: str) -> None:
        cells: list[int | None] = []
        texts: list[str] = []
        is_open = False
        while (token := self._next()).text != ";" or is_open:
            if token.kind == "bits":
                node.is_wide |= {name} if self._next().text == "64" else set()
            elif token.text in {"<", ">"}:
                is_open = token.text == "<"
            elif token.text in {"{", "}", "=", ";"}:
                raise self._unexpected(token, f"the value of '{name}'")
            elif token.kind in {"string", "bytes"}:
                texts.append(token.text)
            elif is_open and token.kind != "label":
                cells.append(self._cell(token))
        node.cells.pop(name, None)
        node.strings.pop(name, None)
        strings, raw = [text[1:-1] for text in texts if text[0] == '"'], b"".join(map(_bytes_of, texts))
        if strings:
            node.strings[name] = strings
        if not cells and len(raw) % 4 == 0:
            # dtc prints cells as text where their bytes happen to be letters: 800000 is "", "\f5".
            cells = [int.from_bytes(raw[i : i + 4]) for i in range(0, len(raw), 4)]
        if cells:
            node.cells[name] = cells

    def _skip(self, token: _Token) -> bool:
        """Skip a statement that is neither a node nor a property: /dts-v1/; /delete-node/ &x; /include/ "x"."""
        if token.text == "/include/":
            self._next()
        elif token.kind == "directive" and token.text != "/omit-if-no-ref/":  # that one precedes a node
            self._skip_statement(token)
        return token.kind == "directive" or token.text == ";"

    def _skip_statement(self, token: _Token) -> None:
        while token.text != ";":
            token = self._next()

    def _cell(self, token: _Token) -> int | None:
        if token.kind != "number":
            return None
        digits = token.text.rstrip("uUlL")
        if len(digits) > _MAX_DIGITS:
            raise self._unexpected(token, "a number of at most 64 bits")
        return int(digits, 16 if digits[:2] in {"0x", "0X"} else 10)

    def _peek(self) -> _Token | None:
        return self._tokens[self._index] if self._index < len(self._tokens) else None

    def _next(self) -> _Token:
        token = self._peek()
        if token is None:
            line = self._tokens[-1].line if self._tokens else 1
            raise InvalidFile(self._path, [Fault(f"line {line}", "the text ends within a node", "restore the rest")])
        self._index += 1
        return token

    def _expect(self, text: str) -> None:
        token = self._next()
        if token.text != text:
            raise self._unexpected(token, f"'{text}'")

    def _unexpected(self, token: _Token, expected: str) -> InvalidFile:
        what = f"'{token.text[:40]}' appears where {expected} should"
        return InvalidFile(
            self._path, [Fault(f"line {token.line}", what, "check it with dtc, the device tree compiler")]
        )


_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}


def _bytes_of(text: str) -> bytes:
    """Return the bytes of [00 0a], or of a string with its escapes, ended by NUL as a tree stores it."""
    if text[0] == "[":
        digits = "".join(text[1:-1].split())
        return bytes.fromhex(digits if len(digits) % 2 == 0 else "")

    def unescaped(match: "re.Match[str]") -> str:
        code = match[1]
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        return chr(_LETTERS.get(code, ord(code)))

    return _ESCAPE.sub(unescaped, text[1:-1]).encode("latin-1", errors="replace") + b"\0"


def _merge(target: Node, extension: Node) -> None:
    target.cells |= extension.cells
    target.strings |= extension.strings
    target.flags |= extension.flags
    target.is_wide |= extension.is_wide
    children = {child.name: child for child in target.children}
    for child in extension.children:
        if child.name in children:
            _merge(children[child.name], child)
        else:
            target.children.append(child)
