"""Silence: whether it is a stall, why, and whether anything may be done about it.

`Detector.tick` takes the state of a session, samples of its process tree and the time, and
returns at most one `Finding`; `describe` says it in one line. Nothing here reads a clock, a
file or a process.
"""

from otel_untether.diagnosis.causes import CAUSES
from otel_untether.diagnosis.detector import Assessment, Detector
from otel_untether.diagnosis.findings import Decision, Finding, describe

__all__ = ["CAUSES", "Assessment", "Decision", "Detector", "Finding", "describe"]
