"""Fault runs: seeded faults while conversations go on, recorded, counted, passed or failed."""
