"""Small tasks on data that pip brought, for experiments over many of them: each trains in a second.

`family` (a network, its data and its kin), `images` (digits), `tables` (measurements, most of which overfit), `streams`
(data without end: every batch is fresh), `text` (the next character), `functions` (of the plane), `rules` (sums and votes),
`exact` (what has no noise); `unseen` and `judges` (to judge what was fitted to all of these, each once).
"""

from __future__ import annotations

from etastar.problems.small.exact import EXACT
from etastar.problems.small.family import Family, Task
from etastar.problems.small.functions import FUNCTIONS
from etastar.problems.small.images import IMAGES
from etastar.problems.small.judges import JUDGES
from etastar.problems.small.rules import RULES
from etastar.problems.small.streams import STREAMS
from etastar.problems.small.tables import TABLES
from etastar.problems.small.text import TEXT
from etastar.problems.small.unseen import UNSEEN

FAMILIES: tuple[Family, ...] = (*IMAGES, *TABLES, *STREAMS, *TEXT, *FUNCTIONS, *RULES, *EXACT)
"""Families of one `group` are siblings: what is fitted to one of them must not be judged on another."""

__all__ = ["FAMILIES", "JUDGES", "UNSEEN", "Family", "Task"]
