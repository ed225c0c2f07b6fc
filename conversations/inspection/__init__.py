"""What operators look at in the admin: conversations on both sides, nodes, turns, numbers. Read with a plain client.

Reads go through a synchronous client in the request's own thread, so that they never wait in the node's loop. What
changes something goes through the same services as people's commands (`asking.py`).
"""
