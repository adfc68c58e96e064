"""Tasks on which short lanes mislead (two basins, late overfitting, heavy tails), and what `find` makes of them."""
