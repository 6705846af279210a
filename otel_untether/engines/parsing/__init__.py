"""Reading JSON that is not as it should be."""
