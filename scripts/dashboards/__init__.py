"""The Grafana dashboards, as code: `python -m scripts.dashboards` writes their JSON.

The JSON is committed beside the rest of the stack's configuration, so that nobody needs
Python to use it; `--check` says whether it is still what this package makes.
"""
