"""Supervised attempts: a process each, started, watched and ended by one who never imports torch."""
