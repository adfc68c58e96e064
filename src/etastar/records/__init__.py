"""The store: no lane is trained twice."""
