"""Speed as ratios of interleaved runs against a named peer; never part of the tests."""
