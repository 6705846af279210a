"""What each agent CLI's output and command line mean: a folder a CLI.

`engine` is the contract, `registry` finds the engine of a name, of a command line, of a first
line. To add one, write ``engines/<name>/engine.py`` with its `ENGINE`, and name it in `NAMES`.
One that lives in a package of its own is found by its entry point, see `plugins`.
"""

UNKNOWN = "unknown"
"""The name of what no engine is known for: each line is a sign of life, and no more."""

NAMES = (
    "claude", "codex", "opencode", "gemini", "qwen", "pi", "copilot", "amp", "cursor",
    "antigravity", "goose", "acp", UNKNOWN,
)  # fmt: skip
"""The engines that come with us, by name: for callers that must not wait for `registry`."""
