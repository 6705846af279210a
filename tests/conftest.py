"""What all tests stand on."""

from __future__ import annotations

import signal

# A run started in the background or by nohup has these ignored, and so have all its children;
# what the tests say of signals is about processes that have them at their defaults.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)
