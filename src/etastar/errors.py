"""What etastar raises. A user's mistake is always an `EtastarError` with one sentence: got, expected, do this."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etastar.core.estimate import Estimate


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


class StoreError(EtastarError):
    """The store cannot be opened, read or written; it was left as it was."""


class MissingExtra(EtastarError):
    """An optional dependency is needed; the message names the extra to install."""


class NoAnswer(EtastarError):
    """An `Estimate` without a value was required; `estimate` carries the status and the reason."""

    def __init__(self, estimate: Estimate) -> None:
        super().__init__(f"no answer ({estimate.status.value}): {estimate.reason}")
        self.estimate = estimate


_NOT_THE_USERS = ("site-packages", "dist-packages", str(Path(__file__).parents[0]), "<frozen")


def in_one_line(error: BaseException) -> str:
    """An exception of the user's code as `Type: first line of the message (file, line)`, the last place that is theirs."""
    lines = str(error).strip().splitlines()
    text = type(error).__name__ + (f": {lines[0].rstrip('.')}" if lines else "")
    place = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not any(part in file for part in _NOT_THE_USERS):
            place = f" ({Path(file).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return text + place
