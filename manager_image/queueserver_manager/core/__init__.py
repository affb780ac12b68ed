"""Decisions of the manager, free of I/O: what a request or an event changes, answers and causes."""
