"""The response over rates: `surface`, `sensitivity` (the classic grid), `momentum`; `surface_answer`."""
