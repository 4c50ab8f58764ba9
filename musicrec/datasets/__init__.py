"""Listening logs to start with: `sample` (a small generated world), `synthetic` (generated, any size) and `download` (the real files)."""

from musicrec.datasets.generated import is_generated

__all__ = ["is_generated"]
