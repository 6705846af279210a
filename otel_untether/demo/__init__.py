"""A scripted agent: no model, no network, the output of a real one.

``python -m otel_untether.demo`` prints what ``claude -p --output-format stream-json
--verbose`` prints (the shapes are those of Claude Code 2.1) and does what it says: its commands
run, its reads read, its two subagents work at the same time. What they do is fixed, and it
says so: the model is called ``scripted-demo``, and so does the first thing it says.
"""
