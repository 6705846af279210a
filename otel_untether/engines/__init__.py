"""One decoder per CLI, and how to tell which one is talking.

An engine is a module with a pure function from the bytes of one line to events, plus what it
takes to recognise it. To add one, write that module and name it here and in `registry`.
"""

NAMES = ("claude", "codex", "generic")
"""The engines by name, for who must not wait until `registry` is imported."""
