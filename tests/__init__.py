"""Tests; see docs/architecture.md, section 7, for what lives where."""
