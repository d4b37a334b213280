"""The page of one training: its stages, curves, history, result, files, and what can be done with it."""
