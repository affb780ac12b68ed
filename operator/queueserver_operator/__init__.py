"""The operator: reconciles QueueServer and WorkerEnvironment resources into managers and workers.

`observe` (the API into a frozen view) → `decide` (pure: view into a plan) → `apply` (the plan into the API).
"""
