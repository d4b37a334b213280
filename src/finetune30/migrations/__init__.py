"""The history of the schema, newest last; ``database.upgrade`` runs what is missing."""
