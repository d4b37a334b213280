"""The page of data: files sent, one dataset, its analysis, versions and what changed."""
