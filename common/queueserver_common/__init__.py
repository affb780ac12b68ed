"""What manager, worker and client programs of the queue server have to agree on.

Plan and device descriptions, name patterns, the annotation grammar, user group permissions, parameter validation, the
file with the existing plans and devices, and the messages between manager and worker. Nothing here knows Bluesky.
"""

__version__ = "0.1.0"
