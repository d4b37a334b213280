"""Runs side by side: which, their curves, tables, and the rows they answer differently."""
