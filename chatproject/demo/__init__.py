"""The demonstration: a strict client, a ledger that compares devices, and three scenes on a real cluster."""
