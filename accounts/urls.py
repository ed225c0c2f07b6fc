from allauth.account import views as allauth_views
from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.http import require_POST

from . import exports, preferences, views

urlpatterns: list[URLPattern | URLResolver] = [
    # Before allauth's own pattern: a link on a foreign page must not even ask about signing out.
    path("logout/", require_POST(allauth_views.logout)),
    path("", include("allauth.account.urls")),
    path("two-factor/", include("allauth.mfa.urls")),
    path("account/", views.profile, name="profile"),
    path("account/devices/", views.devices, name="devices"),
    path("account/devices/sign-out/", views.sign_out_device, name="sign_out_device"),
    path("account/logins/sign-out/", views.sign_out_login, name="sign_out_login"),
    path("account/tokens/", views.tokens, name="tokens"),
    path("account/tokens/revoke/", views.revoke, name="revoke_token"),
    path("account/delete/", views.delete, name="delete_account"),
    path("account/deleted/", views.deleted, name="deleted"),
    path("export/", exports.everything, name="export_everything"),
    path("export/<uuid:conversation_id>/", exports.conversation, name="export"),
    path("i18n/setlang/", preferences.choose_language, name="set_language"),
]
