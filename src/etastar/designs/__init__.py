"""Experiments that ask for lanes and answer; none of them sees a model."""
