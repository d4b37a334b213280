"""What every service of ours shows the world: the gate before its routes, strict bodies, problems, a journal.

``listening`` opens the port, ``gate`` lets requests pass (``rates`` counts them), ``bodies`` reads JSON, ``problems``
words refusals, ``journal`` keeps a line of each request. Knows no users, no jobs and no models.
"""
