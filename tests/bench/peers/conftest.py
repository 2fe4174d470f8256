"""Peers that have environments of their own are no modules of this one."""

from __future__ import annotations

collect_ignore = ["bytewax_flow.py", "pathway_flow.py", "quix_app.py"]
