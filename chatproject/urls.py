from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

# One login for all: with its limits, and with the second factor of who has one.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
    path("", include("conversations.urls")),
]
