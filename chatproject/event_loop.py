"""The event loop of a process that serves: uvloop's, under Twisted's reactor. Import it before Daphne and Twisted.

Daphne would make asyncio's own when it is imported; it keeps a reactor that is there already.
"""

import asyncio

from twisted.internet import asyncioreactor

try:
    import uvloop
except ImportError:  # not on every platform; asyncio's own does the same, slower
    loop = asyncio.new_event_loop()
else:
    loop = uvloop.new_event_loop()

asyncioreactor.install(loop)
