"""Attacks on real services that are under load."""
