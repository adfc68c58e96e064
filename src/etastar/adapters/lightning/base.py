"""What callbacks are made on, with Lightning and without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etastar.errors import MissingExtra


class Missing:
    """Stands for Lightning's Callback where it is not installed.

    Raises:
        MissingExtra: always.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise MissingExtra("Lightning is not installed; pip install 'etastar[lightning]'")


if TYPE_CHECKING:
    Callback: Any = object
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        Callback = Missing
