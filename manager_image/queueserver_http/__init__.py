"""The HTTP server of the queue server: every method of the manager as a route, with authentication and streams.

Contract: http-api. It is a client of the manager like any other; of the manager's code it knows the method table only.
"""
