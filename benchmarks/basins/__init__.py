"""Tasks on which short lanes mislead: two basins, late overfitting, heavy tails; and what the efforts of `find` make of them."""
