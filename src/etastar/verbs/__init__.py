"""Questions a user asks: `find/`, `predict/`, `probe`, `surface/`, `search/`, `scale/`, `forecast/`, `schedule`, `doctor`.

`options` (how a verb runs), `workplace` (store, deadline, sessions of problems), `crew` (what trains their lanes) and
`answer` (what every verb returns) serve them all.
"""
