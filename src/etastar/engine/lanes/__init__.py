"""Many trainings at once: every lane is a row. Equal to `engine.loop`, lane by lane."""
