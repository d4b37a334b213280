"""The page of a new training: where it begins, its form, its data, what it comes to."""
