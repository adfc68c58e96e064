"""Small tasks on data that pip brought, for experiments over many of them: each trains in a second.

`family` (a network, its data and its kin), `images` (digits), `tables` (measurements of people, which overfit), `streams`
(data without end: every batch is fresh).
"""

from __future__ import annotations

from etastar.problems.small.family import Family, Task
from etastar.problems.small.images import IMAGES
from etastar.problems.small.streams import STREAMS
from etastar.problems.small.tables import TABLES

FAMILIES: tuple[Family, ...] = (*IMAGES, *TABLES, *STREAMS)
"""Families of one `group` are siblings: what is fitted to one of them must not be judged on another."""

__all__ = ["FAMILIES", "Family", "Task"]
