"""Helpers for programs that speak to a manager or show its plans (plans-and-permissions 7)."""
