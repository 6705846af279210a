"""Processes held by identity, and ended."""
