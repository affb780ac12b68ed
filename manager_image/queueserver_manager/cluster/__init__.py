"""The manager's dealings with the Kubernetes API server: requests, watches, what they mean, its part of the status."""
