"""What a stalled session and its tree look like, in one JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from otel_untether.proc_diag.details import dump
from otel_untether.session.redaction import redact, redact_lines
from otel_untether.stall import describe

if TYPE_CHECKING:
    from otel_untether.proc_diag import Tree
    from otel_untether.session.state import SessionState
    from otel_untether.stall import Finding


def stall_dump(finding: Finding, tree: Tree | None, state: SessionState) -> bytes:
    """Return finding, last events, the tail of stderr, the tree and its sockets as JSON.

    `tree` is None where there is no process to look at. Raises msgspec.MsgspecError where
    something of it cannot be encoded.
    """
    document = {
        "finding": describe(finding),
        "cause": finding.cause,
        "engine": state.engine,
        "version": state.version,
        "model": state.model,
        "session_id": state.session_id,
        "request_id": state.request_id,
        "debug_log": state.debug_log and redact(state.debug_log),
        "transcript": finding.transcript
        and replace(finding.transcript, path=redact(finding.transcript.path)),
        "run_id": state.run_id,
        "evidence": finding.evidence,
        "leads": finding.leads,
        "attributes": finding.attributes,
        "open_tools": [tool.name for tool in state.open.values()],
        "subagents": [agent.name for agent in state.subagents],
        "waits": [wait.kind for wait in state.waits.values()],
        "last_events": list(state.recent),
        "stderr_tail": redact_lines(state.stderr_tail),
        "tree": None if tree is None else dump(tree),
    }
    return msgspec.json.format(msgspec.json.encode(document))
