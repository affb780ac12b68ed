"""The manager's end of the worker link."""
