"""`Code`: a word that answers carry, what it says, and what to do next."""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """What a code says in one sentence, and what to do next in another.

    >>> Code("The range was too small.", "Nothing.").then
    'Nothing.'
    """

    says: str
    then: str
