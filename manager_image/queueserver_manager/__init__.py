"""The manager: owns the queue and the state machine, answers clients, directs the worker. Imports no bluesky."""
