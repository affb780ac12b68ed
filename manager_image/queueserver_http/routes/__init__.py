"""The table of all routes, from the manager's method table (http-api 2)."""
