"""Codex's rollouts on disk."""
