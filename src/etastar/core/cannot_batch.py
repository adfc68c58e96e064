"""Why a problem cannot be trained as rows."""

from __future__ import annotations


class CannotBatch(Exception):
    """These lanes cannot be trained together; the message continues the sentence "it runs in the loop: ..."."""
