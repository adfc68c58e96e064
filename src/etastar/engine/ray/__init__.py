"""Lanes on a Ray cluster.

`cluster` (the engine), `connection` (to a cluster, or one of its own), `orphans` (ends what a killed driver leaves).
"""
