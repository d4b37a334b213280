"""The page of models: one model, its versions and aliases, runs that become versions."""
