"""One behaviour, every backend."""
