"""The worker link: what the manager and the worker say to each other (design: the worker dials the manager)."""
