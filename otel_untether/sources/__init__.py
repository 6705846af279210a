"""The ways in which a session reaches us."""
