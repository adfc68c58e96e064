"""Questions a user asks: `find/`, `predict/`, `probe`, `field`, `surface/`, `search/`, `scale/`, `compare/`, `forecast/`,
`psi/`, `schedule`, `doctor`.

`options` (how a verb runs), `workplace` (store, deadline, sessions of problems), `crew` (what trains their lanes), `pace`
(and which of them end in time), `prices` (what a step and a run take, in words), `answer` (what every verb returns) and
`envelope` (how its JSON begins) serve all.

It offers `EtaStarAnswer`, `FindAnswer`, `ForecastAnswer`, `MomentumAnswer`, `Options`, `OptunaSpace`, `PredictAnswer`,
`ProbeAnswer`, `ScaleAnswer`, `SearchAnswer`, `SensitivityAnswer`, `SurfaceAnswer`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
