"""The real backends the stack tests run: where they come from and how they are built."""
