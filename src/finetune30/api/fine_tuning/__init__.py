"""The service as OpenAI's clients know it: files, fine-tuning jobs, models, in that API's own words.

    bodies ──► jobs (a body becomes a configuration, an experiment becomes a job) ──► answers
               history (events, checkpoints) ──► results (figures by step) ──► answers
               files (uploads and results as files)      names (ids and names, there and back)

Nothing is kept here: a job is an experiment, a file is an upload or what a run left behind.
Neighbours: ``routes.fine_tuning``, ``routes.files`` and ``routes.v1_models`` serve it below ``/v1``.
"""
