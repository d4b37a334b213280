"""Servers of others, each a process of ``benchmarks.serving``; they get the adapter merged into the base."""
