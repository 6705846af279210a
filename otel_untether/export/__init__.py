"""OpenTelemetry as the environment asks for it: providers, exporters, what was delivered.

Nothing is imported here: `providers` imports the SDK, which takes 0.1 to 0.3 s, and belongs
after the spawn. `sdk` is the one module that relies on the SDK's internals.
"""
