"""Copilot CLI's sessions on disk."""
