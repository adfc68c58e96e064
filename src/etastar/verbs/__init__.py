"""Questions a user asks: `find/`, `predict/`, `probe`, `surface/`, `search/`, `scale/`, `doctor`.

`session` (store, engine and limits) and `finite` (JSON-ready numbers) serve them all.
"""
