"""The ASGI application: health first and without Django's middleware, pages by Django, /ws/ by the consumer."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  # needs the apps to be loaded
from django.urls import path  # noqa: E402

from realtime.consumers import SocketConsumer  # noqa: E402

from .health import with_health  # noqa: E402
from .logs import configure  # noqa: E402

configure()

application = ProtocolTypeRouter(
    {
        "http": with_health(django_application),
        "websocket": URLRouter([path("ws/", SocketConsumer.as_asgi())]),
    }
)
