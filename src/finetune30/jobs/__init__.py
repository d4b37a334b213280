"""Jobs: asked for here, done by a worker; the row is the job, a message only a hint.

``app`` is the Celery application, ``bell`` wakes workers. No torch here.
"""
