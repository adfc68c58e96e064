"""Every word that is used is explained, and every explained word is used: held by walking the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from etastar import errors
from etastar.cli import options
from etastar.core.codes import CODES, ENDINGS, EXCEPTIONS, EXIT_CODES, STATUSES, VERDICTS, checked_verdict, explain
from etastar.core.estimate import Status
from etastar.core.flags import FLAG_CODES, FLAGS, checked_flags
from etastar.core.lane import LaneStatus
from etastar.studies.claim import Verdict
from syntax_trees import trees

TABLES = ("core/codes.py", "core/flags.py")
HYPHENED = re.compile(r"[a-z]+(-[a-z0-9_]+)+")
JUDGED = ("Yours", "Tried", "YourRate", "Judged")
"""Classes that hold a verdict on the rate in use as their second argument."""


@cache
def told_of() -> dict[str, ast.Module]:
    """file -> its syntax tree, but for the tables themselves."""
    return {name: tree for name, tree in trees().items() if name not in TABLES}


def constants(node: ast.AST) -> set[str]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def names(node: ast.AST) -> set[str]:
    parts = (getattr(part, "id", getattr(part, "attr", getattr(part, "arg", None))) for part in ast.walk(node))
    return {part for part in parts if isinstance(part, str)}


@cache
def words() -> set[str]:
    """Every text of the package outside of the tables."""
    return {word for tree in told_of().values() for word in constants(tree)}


def flags_used(text: str | None = None) -> set[str]:
    """Hyphened words of simple statements, and of functions, that are about flags."""
    found: set[str] = set()
    for tree in told_of().values() if text is None else [ast.parse(text)]:
        if not any("flags" in name for name in names(tree)):
            continue
        for node in ast.walk(tree):
            simple = isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return))
            function = isinstance(node, ast.FunctionDef) and "flags" in node.name
            if not (simple or function) or not (words := {word for word in constants(node) if HYPHENED.fullmatch(word)}):
                continue
            if function or any("flags" in name for name in names(node)):
                found |= words
    return found


def verdicts_used(text: str | None = None) -> Iterator[str]:
    """What is assigned to `verdict`, or handed to a class that holds one, or returned by a function that judges."""
    for tree in told_of().values() if text is None else [ast.parse(text)]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and any("verdict" in names(target) for target in node.targets):
                first = node.value.elts[0] if isinstance(node.value, ast.Tuple) else node.value
                yield from chosen(first)
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in JUDGED and len(node.args) > 1:
                yield from chosen(node.args[1])
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("_against_"):
                returned = [part.value for part in ast.walk(node) if isinstance(part, ast.Return)]
                yield from (word for value in returned if isinstance(value, ast.Tuple) for word in chosen(value.elts[0]))


def chosen(node: ast.AST) -> Iterator[str]:
    """The texts an expression may come to: both sides of a condition, not what it asks."""
    if isinstance(node, ast.IfExp):
        yield from (*chosen(node.body), *chosen(node.orelse))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def test_flags_that_are_used_are_explained() -> None:
    used = flags_used()
    assert len(used) > 30 and used - set(FLAGS) - {"time-limit"} == set()
    assert flags_used("self._flags.append('no-such')") == {"no-such"}


def test_verdicts_that_are_used_are_explained() -> None:
    used = set(verdicts_used())
    assert {"too-high", "near-best", "above", "above-eta_c"} <= used and used <= set(VERDICTS)
    assert set(verdicts_used("verdict = 'odd' if lr > 'x' else 'even'")) == {"odd", "even"}


@pytest.mark.parametrize("table", [FLAG_CODES, VERDICTS], ids=["flags", "verdicts"])
def test_what_is_explained_is_used(table: dict[str, object]) -> None:
    plain = {word.replace(" ", "-") for word in words()}  # compare's `no difference`
    assert set(table) - plain == set()


def test_every_other_kind_is_what_defines_it() -> None:
    assert set(STATUSES) == {status.value for status in Status}
    assert set(ENDINGS) == {status.value for status in LaneStatus}
    raised = {name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, errors.EtastarError)}
    assert set(EXCEPTIONS) == raised
    codes = {value for name, value in vars(options).items() if name.startswith("EXIT_")}
    assert set(EXIT_CODES) == {str(code) for code in codes}
    assert {verdict.value.replace(" ", "-") for verdict in Verdict} <= set(VERDICTS)


def test_every_status_is_given_somewhere() -> None:
    """A status that no code returns is none."""
    given = {
        node.attr
        for tree in told_of().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Status"
    }
    assert given == {status.name for status in Status}


def test_an_explanation_is_two_sentences() -> None:
    for found in explain():
        assert found.says[0].isupper() and found.says.endswith("."), found
        assert found.then[0].isupper() and found.then.endswith((".", "`.")), found
    assert len(explain()) == sum(len(table) for table in CODES.values())


def test_what_nobody_explains_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown flags"):
        checked_flags(("flat", "no-such"))
    with pytest.raises(ValueError, match="unknown verdict 'no-such'"):
        checked_verdict("no-such")
    with pytest.raises(errors.ProblemError, match="the code is 'nosuch'; expected one of those"):
        explain("nosuch")
