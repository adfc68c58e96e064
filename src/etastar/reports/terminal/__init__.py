"""What the terminal shows of an answer: `*_tables`, `*_notes`, and its cost; one file a kind of answer."""
