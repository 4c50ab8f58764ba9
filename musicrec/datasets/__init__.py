"""Listening logs to start with: `sample` (small, generated), `synthetic` (generated, any size) and `download` (the Yandex Music files)."""

from musicrec.datasets.generated import is_generated

__all__ = ["is_generated"]
