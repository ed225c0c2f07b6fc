from django.urls import URLPattern, URLResolver, path

from . import shell, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("c/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("s/<str:token>/", views.shared, name="shared"),
    path("offline/", shell.offline, name="offline"),
    path("worker.js", shell.worker, name="worker"),
    path("manifest.webmanifest", shell.manifest, name="manifest"),
]
