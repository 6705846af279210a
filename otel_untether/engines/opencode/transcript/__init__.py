"""OpenCode's sessions in its database."""
