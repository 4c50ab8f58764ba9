"""Listening logs to start with: `sample` and `synthetic` ones, which are generated, and `public` ones, which `download` fetches."""

from musicrec.datasets.generated import is_generated

__all__ = ["is_generated"]
