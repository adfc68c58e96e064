"""Questions a user asks: `find/`, `predict/`, `probe`, `surface/`, `search/`, `scale/`, `doctor`.

`options` (how a verb runs), `session` (store and engine) and `finite` (JSON-ready numbers) serve them all.
"""
