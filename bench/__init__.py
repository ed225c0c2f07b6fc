"""Measurements of this server and of a peer: real processes, raw JSON in results/, tables made from it."""
