"""What is fitted to records and predicts: every law refuses outside the data it has seen."""
