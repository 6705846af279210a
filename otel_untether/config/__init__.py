"""Settings: their names, their places, their values."""
