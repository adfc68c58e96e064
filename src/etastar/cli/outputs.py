"""The files an answer goes to: refused before anything is read or trained, written once the verdict is on the screen."""

from __future__ import annotations

import json as jsonlib
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etastar.cli.standard_output import ON_STDOUT, answers, drop_answers
from etastar.errors import EtastarError, ProblemError

if TYPE_CHECKING:
    from etastar.cli.output import Console

PAGE, PICTURES = "index.html", ("*.svg", "*.png")


def check_outputs(json: str | None, report: Path | None = None) -> None:
    """Refuse an output that cannot be written before hours are spent on what goes into it; nothing is left behind.

    Raises:
        ProblemError: the file or folder cannot be written.
    """
    if report is not None:
        check_folder(report, "--report", (PAGE, *PICTURES))
    if json is None or json == ON_STDOUT:
        return
    if not json:
        raise ProblemError("--json is empty; expected a file, e.g. --json answer.json, or - for standard output")
    try:
        if report is None or not _made_with(report, Path(json)):
            _check_file(Path(json))
    except (OSError, ValueError) as error:
        raise ProblemError(f"--json {json} cannot be written ({_why(error)}); pass a path you can write to") from error


def check_folder(folder: Path, option: str, files: tuple[str, ...] = ()) -> None:
    """Refuse a folder that cannot be made, or written, or in which a folder has the name of one of `files`.

    Raises:
        ProblemError: naming `option`.
    """
    try:
        existing = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
        folder.exists()  # raises where the name is too long
        if not existing.is_dir():
            raise NotADirectoryError(0, "File exists" if existing == folder else "Not a directory")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(0, "Permission denied")
        taken = [path for name in files for path in sorted(folder.glob(name)) if path.is_dir()]
    except (OSError, ValueError) as error:
        raise ProblemError(f"{option} {folder} cannot be written ({_why(error)}); pass a folder you can write to") from error
    if taken:
        raise ProblemError(f"{option} {folder} cannot be written ({taken[0].name} there is a folder); pass another folder")


def deliver(
    console: Console,
    show: Callable[[], None],
    content: Callable[[], dict[str, Any]],
    json: str | None,
    answer: Any = None,
    report: Path | None = None,
) -> None:
    """Print the verdict, then write the JSON, then the report: each of them whatever became of the one before.

    Where nobody reads standard output any more (`| head -1`), the rest of what is printed is left out.

    Args:
        show: prints the verdict.
        content: of the JSON.
        answer, report: what the page shows, and its folder.

    Raises:
        ProblemError: one of them cannot be written.
    """

    def page() -> None:
        if report is not None:
            from etastar.reports.page import report as write_report

            console.say(f"report: {write_report(answer, report)}")

    def answer_file() -> None:
        if json is None:
            return
        if report is not None and _made_with(report, Path(json)):
            with suppress(OSError):  # the page says what is wrong with its folder
                report.mkdir(parents=True, exist_ok=True)
        write_json(json, content())

    failures: list[EtastarError] = []
    for step in (show, answer_file, page):
        try:
            step()
        except BrokenPipeError:
            drop_answers()
        except OSError as error:
            drop_answers()
            failures.append(ProblemError(f"standard output cannot be written ({_why(error)}); redirect it elsewhere"))
        except EtastarError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def write_json(target: str, content: dict[str, Any]) -> None:
    """Write the answer to a file, all of it or nothing; or to standard output for "-"."""
    text = jsonlib.dumps(content, indent=2, allow_nan=False)
    if target == ON_STDOUT:
        print(text, file=answers(), flush=True)
        return
    try:
        _replace(Path(target), text + "\n")
    except OSError as error:
        raise ProblemError(f"--json {target} cannot be written ({_why(error)}); pass another path or -") from error


def _made_with(report: Path, path: Path) -> bool:
    """Whether a file's folder is not there yet and will be made for the report."""
    return not path.parent.exists() and Path(os.path.abspath(report)).is_relative_to(os.path.abspath(path.parent))


def _check_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        with path.open("x"):
            pass
        path.unlink()
        return
    if not stat.S_ISFIFO(mode):
        with path.open("a"):
            pass
    elif os.path.exists(os.path.realpath(path)):  # not one the shell has opened for us, as >(command) and /dev/stdout
        raise OSError(0, "it is a named pipe: whoever writes may wait forever")


def _replace(path: Path, text: str) -> None:
    """Write beside it, then put it in its place: a full disk leaves what was there. A device is written as it is."""
    real = Path(os.path.realpath(path))
    ordinary = real.is_file() or not path.exists()
    if not ordinary or not os.access(real.parent, os.W_OK):
        path.write_text(text, encoding="utf-8")
        return
    half = real.parent / f".etastar-{os.getpid()}.part"
    try:
        half.write_text(text, encoding="utf-8")
        if real.exists():
            shutil.copymode(real, half)
        half.replace(real)
    finally:
        half.unlink(missing_ok=True)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
