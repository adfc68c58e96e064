"""What the learning rate does to a network block by block: does a decay gain by stability, or by settling?

`sizes`, `networks` (two halves, data, noise), `walk` (trains an arm, from states that arms share), `arms`, `looks` (A and
B), `reading` (what else is read of weights), `measure` (the rows), `claims` (declared beforehand), `shares` (Fieller, Holm),
`gains`, `numbers`, `conclude`, `charts`, `study`.

It offers `STUDY`.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
