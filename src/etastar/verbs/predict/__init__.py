"""What the architecture alone says: `predict`, `predictions` (the ladder), `expected_rate` (where eta* should lie),
`threshold` (is the predicted sharpness one).
"""
