"""Policies: files that say which network to run."""

from __future__ import annotations

from selector.policies.static import StaticPolicy, load_policy

__all__ = ["StaticPolicy", "load_policy"]
