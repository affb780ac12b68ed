"""The sockets that clients talk to: control (requests) and info (console text and status)."""
