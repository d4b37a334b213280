"""The list of runs: which are wanted, seen, chosen, and what is done with them."""
