"""Benchmarks: our training beside what a user would run instead, as ratios of interleaved rounds.

``schedule`` starts a process for each recipe and lets one of them work at a time; ``worker`` is
that process; ``recipes`` holds ours and the peers, ``rate`` the limit of the machine, ``report`` the
tables. No time is ever asserted: figures are for people.
"""
