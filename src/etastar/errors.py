"""What etastar raises, and whose fault an exception is. A user's mistake is an `EtastarError` with one sentence."""

from __future__ import annotations

import functools
import os
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from etastar.users_code import is_ours, is_users

if TYPE_CHECKING:
    from etastar.core.estimate import Estimate

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


_PASSWORD = re.compile(r"^((?:[a-z][a-z0-9+.-]*:/{1,2})?[^:@/?]*):(?!/).*@", re.DOTALL | re.IGNORECASE)
_SECRET = re.compile(r"([?&;][^=&;]*(?:passw|pwd|passphrase|secret|token|key|credential)[^=&;]*=)[^&;#]*", re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]*:/[^\s'\"]+", re.IGNORECASE)  # one slash: a path takes two of them for one


def redacted(url: str) -> str:
    """A URL as it may be printed: its password, and what its query calls a secret, are three stars.

    >>> redacted("postgresql://team:s3cr@t@db.example.org/runs?sslpassword=abc&host=/tmp")
    'postgresql://team:***@db.example.org/runs?sslpassword=***&host=/tmp'
    >>> redacted("me:s3cret@head:6379"), redacted("head:6379")
    ('me:***@head:6379', 'head:6379')
    """
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def redacted_text(text: str) -> str:
    """A text with every URL in it as it may be printed.

    >>> redacted_text("no server at http://me:s3cret@head:6379; expected host:port, not me@head")
    'no server at http://me:***@head:6379; expected host:port, not me@head'
    """
    return _URL.sub(lambda found: redacted(found[0]), text)


class EtastarError(Exception):
    """Base of everything etastar raises on purpose. No message of it holds the password of a URL."""

    def __init__(self, *words: object) -> None:
        super().__init__(*(redacted_text(word) if isinstance(word, str) else word for word in words))


class ProblemError(EtastarError):
    """The problem, an option or a file cannot be used as given."""


class UserCodeRaised(ProblemError):
    """An exception of the user's own code, in one sentence; the exception itself is the `__cause__`."""

    def all_of_it(self) -> str:
        """The traceback of that exception, as Python prints it."""
        return "".join(traceback.format_exception(self.__cause__ or self))


class StoreError(EtastarError):
    """The store cannot be opened, read or written; it was left as it was."""


class MissingExtra(EtastarError):
    """An optional dependency is needed; the message names the extra to install."""


class NoAnswer(EtastarError):
    """An `Estimate` without a value was required; `estimate` carries the status and the reason."""

    def __init__(self, estimate: Estimate) -> None:
        super().__init__(f"no answer ({estimate.status.value}): {estimate.reason}")
        self.estimate = estimate


class DoesNotApply(Exception):
    """A way of doing something does not apply here, and nothing is wrong with that: these lanes do not train as rows, this
    probe does not read this point. The message says why; who asked goes another way, or hands the sentence on.
    """


class EarlierTraceback(Exception):
    """Where an exception was raised, in another process or before others went on; the cause of the one raised here."""


# -- whose fault an exception is ---------------------------------------------------------------------------------------

_MADE = ("<eval_with_key", "<__array_function__", ".pyx", ".pxd")
"""Files with one of these in their path nobody wrote so: compiled, or made by torch.fx or numpy."""
_LACK_OF_MEMORY = ("out of memory", "can't allocate memory", "cuda error")
"""What torch says then; after any other error of the CUDA driver nothing runs on the device any more, either."""
LONGEST = 400
"""Characters of an exception's own words that a sentence holds."""
_PLACE = re.compile(r'File "(.+?)", line (\d+)')


def call(what: str, fn: Callable[..., Result], *args: Any) -> Result:
    """Call what the user gave us, named `what`; see `as_problem` for what becomes of its exceptions."""
    try:
        return fn(*args)
    except BaseException as error:
        problem = as_problem(error, what)
        if problem is None:
            raise
        raise problem from error


def attributed(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`function`, with exceptions of the user's code as one sentence, wherever in it they were raised."""

    @functools.wraps(function)
    def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            problem = as_problem(error)
            if problem is None:
                raise
            raise problem from error

    return guarded


def as_problem(error: BaseException, what: str | None = None) -> ProblemError | None:
    """The sentence about an exception that is the user's; None: it is not theirs, or it says already what is wrong.

    It is theirs if a frame of their own code stands below etastar's last one, or if we called `what` they gave us: that may
    be a library's own function.

    Returns:
        A `UserCodeRaised`; a plain `ProblemError` where memory is what is missing.
    """
    place = users_place(error)
    if isinstance(error, (EtastarError, KeyboardInterrupt)):
        return None
    if place is None and (what is None or not isinstance(error, Exception)):
        return None
    subject = "your code raised" if place else f"{what} raised"
    within = f", in {what}" if place and what else ""
    where = f" ({place}{within})" if place else ""
    if is_lack_of_memory(error):
        advice = "; use a smaller batch or model, or fewer --workers" if "CUDA error" not in _text(error) else ""
        return ProblemError(f"{subject} {_words(error)}{where}{advice}")
    return UserCodeRaised(f"{subject} {_words(error)}{where}")


def may_be_a_lanes(error: BaseException) -> bool:
    """Whether an exception of many lanes together may be one lane's own, so that each of them is to be trained alone."""
    if isinstance(error, (EtastarError, KeyboardInterrupt)) or is_lack_of_memory(error):
        return False
    return isinstance(error, Exception) or users_place(error) is not None


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether memory is missing (or the device gone): no lane's own doing."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in _text(error).lower() for text in _LACK_OF_MEMORY)
    )


def users_place(error: BaseException) -> str | None:
    """`file, line n` of the last frame that is the user's own; None if there is none below etastar's last frame."""
    place = None
    for file, line in _frames(error.__traceback__):
        if is_ours(file):
            place = None
        elif _is_users(file):
            place = _named(file, line)
    return place or _place_in_text(error)


def in_one_line(error: BaseException) -> str:
    """An exception as `Type: first line of the message (file, line)`, the last place that is the user's."""
    places = [_named(file, line) for file, line in _frames(error.__traceback__) if _is_users(file)]
    return _words(error) + (f" ({places[-1]})" if places else "")


def _words(error: BaseException) -> str:
    """`Type: first line of the message`; of what a DataLoader's worker sent, the line that says what was raised there."""
    lines = _text(error).strip().splitlines()
    if lines and "Original Traceback" in _text(error):
        return shortened(lines[-1].strip().rstrip("."))
    return shortened(type(error).__name__ + (f": {lines[0].rstrip('.')}" if lines else ""))


def shortened(words: str, longest: int = LONGEST) -> str:
    """Words of others as a sentence can hold them: what is very long loses its end.

    >>> shortened("cannot read " + "x" * 500, 30)
    'cannot read xxxxxxxxxxxxxxxxxx... (512 characters)'
    """
    return words if len(words) <= longest else f"{words[:longest]}... ({len(words):,} characters)"


def _text(error: BaseException) -> str:
    """What it says; nothing if it cannot say anything."""
    try:
        return str(error)
    except Exception:
        return ""


def _place_in_text(error: BaseException) -> str | None:
    """The same from the text of a traceback that another process sent."""
    if "Original Traceback" not in _text(error):
        return None
    places = [(file, int(line)) for file, line in _PLACE.findall(_text(error))]
    own = [_named(file, line) for file, line in places if _is_users(file)]
    return own[-1] if own else None


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int]]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def _is_users(file: str) -> bool:
    return is_users(file) and not any(part in file for part in _MADE)


def _named(file: str, line: int) -> str:
    """The file as the user knows it: relative where it lies in the current folder."""
    try:
        inside = Path(file).is_relative_to(Path.cwd())
    except OSError:  # the current folder is gone
        inside = False
    return f"{os.path.relpath(file) if inside else file}, line {line}"
