"""Questions a user asks: `find/`, `predict/`, `probe`, `surface/`, `search/`, `scale/`, `doctor`.

`options` (how a verb runs), `workplace` (store, deadline, sessions of problems), `crew` (what trains their lanes) and
`finite` (JSON-ready numbers) serve them all.
"""
