"""The page's table of sentences knows every refusal that the stand-in can send it, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import bot.playground
from bot.playground import errors

PACKAGE = Path(bot.playground.__file__).parent
MODULES = ("page_socket", "members", "commands", "messages", "interactions", "modal_rules")
SAY_IT_THEMSELVES = {50024, 50035}
"""Two places where a command cannot be used; a form's nested errors."""
NEEDS_FILES = {30015, 40005}
"""The page's messages are text alone; its uploads are refused over HTTP with a sentence of the server."""

REFUSALS = {
    function.name: next(
        ast.literal_eval(call.args[1])
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "DiscordError"
    )
    for function in ast.parse(Path(errors.__file__).read_text(encoding="utf-8")).body
    if isinstance(function, ast.FunctionDef)
}
"""The code of each function of errors.py that makes a refusal."""


def reachable_codes() -> set[int]:
    """The codes of all refusals in functions that a frame of the page can lead to, followed by the names of what they call."""
    functions = {
        function.name: function
        for module in reversed(MODULES)
        for function in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    codes: set[int] = set()
    waiting, seen = ["_receive"], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in ast.walk(functions[name]):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "DiscordError":
                code = ast.literal_eval(node.args[1])
                codes.add(code)
            elif called == "raise_if_any":
                codes.add(50035)
            elif called in REFUSALS:
                codes.add(REFUSALS[called])
            else:
                waiting.append(called)
    return codes


def test_every_refusal_has_its_sentence() -> None:
    source = (PACKAGE / "page" / "js" / "refusals.js").read_text(encoding="utf-8")
    table = source[source.index("const SENTENCES = {") : source.index("};")]
    written = {int(code) for code in re.findall(r'^  (\d+): ".+",$', table, re.MULTILINE)}
    assert len(written) == table.count("\n") - 1
    assert written | SAY_IT_THEMSELVES == reachable_codes() - NEEDS_FILES
