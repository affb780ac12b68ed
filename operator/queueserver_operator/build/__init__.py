"""Manifests of the objects that the operator makes: pure functions of the specification and the operator's options."""
