"""The bake-off: who recommends a learning rate that trains well, at what cost, on the same work."""
