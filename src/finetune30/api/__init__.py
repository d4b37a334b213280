"""The API: what a person may do over HTTP, and a row of the audit for each thing done.

    limits (host, rates, size, headers) ─► deps (who, may they?) ─► routes ─► jobs, experiments, registry, access
                                                                  problems ◄─┘  the only way to an error

Safe as it comes: a route without a rule fails the start, what comes from a client is never echoed in an
error, and no input gives a 5xx. Neighbours: ``access`` knows users and tokens, ``jobs`` the queue; neither
knows HTTP, and nothing here knows torch.
"""
