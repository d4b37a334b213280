"""The page about oneself: keys for programs, webhooks."""
