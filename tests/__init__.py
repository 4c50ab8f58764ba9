"""Tests; each is one sentence that can be false."""
