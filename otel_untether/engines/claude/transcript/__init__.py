"""Claude Code's sessions on disk."""
