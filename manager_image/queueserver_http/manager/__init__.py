"""The two sockets of the manager, and the status that was read last."""
