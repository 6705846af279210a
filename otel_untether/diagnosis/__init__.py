"""Why a session is silent; pure. `otel_untether.stall` is its front door."""
