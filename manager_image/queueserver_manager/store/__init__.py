"""The stored state: Redis is the truth, the manager's memory the cache."""
