"""Speed and memory in a cluster: `make bench-cluster`."""
