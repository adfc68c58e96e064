"""How the house is built, held by its own syntax trees: one flow, one deadline, nothing carried out of a callback."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from syntax_trees import FILES, SOURCE, name_of, nodes, trees

WORKPLACE = "verbs/workplace.py"


def smuggled(text: str | None = None) -> list[str]:
    """Lists made empty, filled within a nested function and read by index after: a value carried out of a callback.

    Not so in the engine, where a closure of an optimizer has no other way to hand on what it saw.
    """
    found = []
    for name, outer in nodes(ast.FunctionDef, text):
        if name.startswith("engine/"):
            continue
        empty = {
            target.id
            for node in outer.body
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.List) and not node.value.elts
            for target in ([node.target] if isinstance(node, ast.AnnAssign) else node.targets)
            if isinstance(target, ast.Name)
        }
        if not empty:
            continue
        inner = [node for node in ast.walk(outer) if isinstance(node, ast.FunctionDef) and node is not outer]
        appended = {
            call.func.value.id
            for function in inner
            for call in ast.walk(function)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)
            if call.func.attr in ("append", "extend")
        }
        indexed = {
            node.value.id for node in ast.walk(outer) if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
        }
        found += [f"{name}: {outer.name}: {x}" for x in empty & appended & indexed]
    return found


def test_no_value_is_carried_out_of_a_callback_through_a_list():
    assert smuggled() == []
    bad = "def f():\n    found: list[int] = []\n    def g(x):\n        found.append(x)\n    use(g)\n    return found[0]\n"
    assert smuggled(bad) == ["text: f: found"]


def test_the_time_limit_is_reckoned_in_one_place():
    """Elsewhere `max_seconds` is a name that is passed on, or checked where it is given."""
    found = {name for name, node in nodes(ast.Attribute) if node.attr == "max_seconds" and not name.startswith("cli/")}
    assert found == {WORKPLACE, "verbs/options.py"}
    reckoned = {
        name
        for name, node in [*nodes(ast.BinOp), *nodes(ast.Compare)]
        if any(getattr(part, "attr", getattr(part, "id", "")) == "max_seconds" for part in ast.walk(node))
    }
    assert reckoned <= {"verbs/options.py"}, "the limit is asked for by `Workplace.late`"


def test_what_takes_long_to_import_waits_until_it_is_used():
    """Each of these takes 0.3 to 0.6 s, of every start of a command; the digits are read out of scikit-learn itself."""
    slow = ("scipy.stats", "scipy.signal", "sklearn", "optuna")
    tops = [(name, node) for name, tree in trees().items() for node in tree.body]
    found = {name for name, node in tops if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(slow)}
    found |= {name for name, node in tops if isinstance(node, ast.Import) and node.names[0].name.startswith(slow)}
    assert found - {name for name in found if name.startswith("designs/search/")} == set()


@pytest.mark.parametrize("opened", ["RunStore", "preflight"])
def test_verbs_open_stores_and_check_problems_in_the_workplace_only(opened):
    """But for what only looks: predict, probe and doctor measure nothing, and a store's contents are shown as they are."""
    looks = {"verbs/doctor.py", "verbs/probe.py", "verbs/predict/predict.py", "cli/main.py", "cli/listing.py"}
    called = {
        name
        for name, node in nodes(ast.Call)
        if isinstance(node.func, ast.Name) and node.func.id == opened
        if name.split("/")[0] in ("verbs", "studies", "cli", "reports")
    }
    assert WORKPLACE in called and called - {WORKPLACE} <= looks


def test_policies_are_asked_and_not_told_apart_by_their_type():
    policies = {"Constant", "Schedule", "TorchSchedule", "Then", "PerGroup", "Times", "Clipped"}
    found = [
        f"{name}:{node.lineno}"
        for name, node in nodes(ast.Call)
        if isinstance(node.func, ast.Name) and node.func.id == "isinstance"
        if policies & {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
        if not name.startswith("policies/")
    ]
    assert found == []


def test_the_kind_of_an_optimizer_is_decided_in_one_file():
    """A class of `torch.optim` is compared with `is`, `==` or `in` there only; but for who makes them or has their rule."""
    found = {
        name
        for name, node in nodes(ast.Compare)
        if any(isinstance(part, ast.Attribute) and ast.unparse(part).startswith("torch.optim.") for part in ast.walk(node))
    }
    assert found - {"engine/sequential.py", "problems/optimizers.py"} <= {"core/kinds.py"}


def test_a_problem_is_asked_for_its_parts_and_not_looked_at_for_what_is_missing():
    """Outside of core: no `assert problem.x`, and nobody compares what only parts, or only a loop, have with None."""
    asserted = [f"{name}:{node.lineno}" for name, node in nodes(ast.Assert) if "problem." in ast.unparse(node.test)]
    either = ("problem.loop", "problem.batches", "problem.model", "problem.optimizer", "problem.loop_lr", "p.loop")
    compared = [
        f"{name}:{node.lineno}"
        for name, node in nodes(ast.Compare)
        if ast.unparse(node.left).removeprefix("self._").removeprefix("first.") in either
        if not name.startswith("core/")
    ]
    read = {
        name
        for name, node in nodes(ast.Attribute)
        if node.attr in ("loop", "loop_lr", "loop_optimizer") and ast.unparse(node.value).endswith("problem")
    }
    assert (asserted, compared, read) == ([], [], set())


def shared_names(text: str | None = None) -> list[str]:
    """Classes whose name another class has, too."""
    places: dict[str, list[str]] = {}
    for name, node in nodes(ast.ClassDef, text):
        places.setdefault(node.name, []).append(name)
    return [f"{name}: {', '.join(where)}" for name, where in places.items() if len(where) > 1]


def test_two_classes_never_share_a_name():
    """One name for one thing: a reader who meets a class knows which, whatever file it is in."""
    assert shared_names() == []
    assert shared_names("class Edge: ...\nclass Law:\n    class Edge: ...\n") == ["Edge: text, text"]


ROOMS = [path.parent for path in FILES if path.name == "__init__.py" and path.parent != SOURCE]


def offered(room: Path) -> set[str]:
    """What a folder exports: the names that its stub imports."""
    stub = room / "__init__.pyi"
    tree = ast.parse(stub.read_text() if stub.exists() else "")
    return {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_the_docstring_of_a_folder_is_true_for_every_file_in_it(room):
    """`name` is a file in it or a name it offers, `name/` a folder; all of them are said, and nothing that is not there."""
    files = {path.stem for path in room.glob("*.py")} - {"__init__"}
    folders = {f"{path.parent.name}/" for path in room.glob("*/__init__.py")}
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    assert said is not None
    assert set(re.findall(r"`([A-Za-z_0-9]+/?)`", said)) == files | folders | offered(room)
