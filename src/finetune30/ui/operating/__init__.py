"""The page for admins: users, the audit log, how the service fares."""
