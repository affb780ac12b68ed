"""The demonstration: a manager with the simulated profile runs a short queue while one watches.

`manager_process` starts and stops the manager; `session` talks to it over its two sockets like any other client;
`scenario` is the story; `progress` collects what is known of each plan; `views` shows it.
"""
