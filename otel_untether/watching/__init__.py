"""One watched session put together, and what all sessions of a process share."""
