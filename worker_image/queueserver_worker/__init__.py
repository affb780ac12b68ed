"""The worker: one process, one environment, one RunEngine.

`profile` loads the startup code, `describe` turns its plans and devices into the lists that clients see, `prepare`
turns a queue item into a call, and `runtime` runs it and reports to the manager.
"""
