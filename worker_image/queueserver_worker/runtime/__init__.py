"""The worker's runtime: threads, link, RunEngine calls and the worker's end."""
