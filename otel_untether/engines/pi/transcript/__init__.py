"""Pi's sessions on disk."""
