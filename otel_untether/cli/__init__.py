"""The `otel-untether` command."""
