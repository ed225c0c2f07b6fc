"""Whoever may not see what people have written cannot come in as one of them either, whatever else they may do."""

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from conversations.audit.entry import AuditEntry
from conversations.audit.pseudonyms import pseudonym
from conversations.models import Token, User

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
OTHER = "another horse battery"
CHANGED = {
    "username": "ada",
    "email": "mallory@example.org",
    "is_active": "on",
    "is_staff": "on",
    "is_superuser": "on",
}


@pytest.fixture
def ada():
    return User.objects.create_user("ada", "ada@example.org", "correct horse battery")


@pytest.fixture
def operator():
    """Somebody with every right in the admin but the one to see content."""
    user = User.objects.create_user("op", is_staff=True)
    user.user_permissions.set(Permission.objects.exclude(codename="view_content"))
    return user


@pytest.fixture
def desk(operator):
    client = Client()
    client.force_login(operator)
    return client


def allow_content(operator):
    operator.user_permissions.add(Permission.objects.get(codename="view_content"))


def page(name, *args):
    return reverse(f"admin:{name}", args=args)


def test_a_token_for_somebody_else_takes_the_right_to_see_content(desk, operator, ada):
    made = {"user": ada.pk, "name": "mine"}
    assert desk.post(page("conversations_token_add"), made).status_code == 403
    assert not Token.objects.exists()
    allow_content(operator)
    assert desk.post(page("conversations_token_add"), made).status_code == 302
    token = Token.objects.get()
    recorded = AuditEntry.objects.filter(action="token_made").values_list("actor", "subject")
    assert list(recorded) == [(pseudonym("user", str(operator.pk)), f"token:{token.pk}")]


def test_so_does_a_password_for_somebody_else(desk, operator, ada):
    url = page("auth_user_password_change", ada.pk)
    new = {"password1": OTHER, "password2": OTHER, "usable_password": "true"}
    assert [desk.get(url).status_code, desk.post(url, new).status_code] == [403, 403]
    assert not User.objects.get(pk=ada.pk).check_password(OTHER)
    allow_content(operator)
    assert desk.post(url, new).status_code == 302
    assert User.objects.get(pk=ada.pk).check_password(OTHER)


def test_and_so_do_rights_and_where_a_new_password_is_mailed_to(desk, operator, ada):
    group = Group.objects.create(name="readers")
    more = {"groups": [group.pk], "user_permissions": [Permission.objects.get(codename="view_content").pk]}
    for user in (ada, operator):
        url = page("conversations_user_change", user.pk)
        assert desk.post(url, CHANGED | more | {"username": f"{user}-renamed"}).status_code == 302
        user.refresh_from_db()
        assert user.username.endswith("-renamed")  # the rest of the form counts
        assert (user.is_superuser, user.email == "mallory@example.org", user.groups.count()) == (False, False, 0)
        assert not user.user_permissions.filter(codename="view_content").exists()
    assert not User.objects.get(pk=ada.pk).is_staff
    allow_content(operator)
    desk.post(page("conversations_user_change", ada.pk), CHANGED)
    assert User.objects.get(pk=ada.pk).is_staff


def test_a_group_cannot_be_given_what_one_lacks(desk, operator):
    group = Group.objects.create(name="helpers")
    rights = {"name": "helpers", "permissions": [Permission.objects.get(codename="view_content").pk]}
    assert desk.post(page("auth_group_change", group.pk), rights).status_code == 403
    assert desk.post(page("auth_group_add"), rights | {"name": "more"}).status_code == 403
    assert not group.permissions.exists()
    allow_content(operator)
    assert desk.post(page("auth_group_change", group.pk), rights).status_code == 302


def test_addresses_keys_and_logins_of_others_are_not_made_and_never_shown(desk, operator, ada):
    address = EmailAddress.objects.create(user=ada, email="ada@example.org")
    key = Authenticator.objects.create(user=ada, type="totp", data={"secret": "JBSWY3DPEHPK3PXP"})
    login = UserSession.objects.create(user=ada, session_key="kkkkkkkkkkkkkkkk", ip="127.0.0.1")
    given = {"user": ada.pk, "email": "mallory@example.org", "verified": "on", "type": "totp", "data": "{}"}
    tables = {"account_emailaddress": address, "mfa_authenticator": key, "usersessions_usersession": login}
    for table, row in tables.items():
        assert desk.post(page(f"{table}_add"), given).status_code == 403
        assert desk.post(page(f"{table}_change", row.pk), given).status_code == 403
        assert desk.get(page(f"{table}_changelist")).status_code == 200
    chosen = {"action": "make_verified", "_selected_action": [address.pk]}
    desk.post(page("account_emailaddress_changelist"), chosen)
    address.refresh_from_db()
    assert (address.email, address.verified) == ("ada@example.org", False)
    allow_content(operator)
    pages = [desk.get(page(f"{table}_change", row.pk)).content for table, row in tables.items()]
    assert not any(secret in shown for shown in pages for secret in (b"JBSWY3DPEHPK3PXP", b"kkkkkkkkkkkkkkkk"))


@pytest.mark.parametrize(
    ("table", "hidden"),
    [
        ("usersessions_usersession", "session_key__startswith=k"),
        ("mfa_authenticator", "data__secret__startswith=J"),
        ("account_emailaddress", "user__password__startswith=md5"),
        ("conversations_device", "session_key__startswith=k"),
        ("conversations_token", "digest__startswith=a"),
    ],
)
def test_a_list_tells_nothing_of_a_hidden_column_letter_by_letter(desk, ada, table, hidden):
    UserSession.objects.create(user=ada, session_key="kkkkkkkkkkkkkkkk", ip="127.0.0.1")
    assert desk.get(page(f"{table}_changelist") + f"?{hidden}").status_code == 400


def test_what_takes_rights_away_needs_no_content(desk, ada):
    key = Authenticator.objects.create(user=ada, type="totp", data={"secret": "JBSWY3DPEHPK3PXP"})
    desk.post(page("mfa_authenticator_changelist"), chosen("delete_selected", key) | {"post": "yes"})
    desk.post(page("conversations_user_changelist"), chosen("disable_users", ada))
    assert (Authenticator.objects.count(), User.objects.get(pk=ada.pk).is_active) == (0, False)
    assert AuditEntry.objects.filter(action="admin_deleted", subject=f"authenticator:{key.pk}").exists()


def chosen(action, row):
    return {"action": action, "_selected_action": [row.pk]}
