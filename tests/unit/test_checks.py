"""A wrong setting is named before anything starts."""

import pytest

from realtime.checks import check_settings
from realtime.limits import Rate, parse_rate


def ids():
    return [error.id for error in check_settings()]


def test_the_defaults_are_right():
    assert ids() == []


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("RATE_LIMIT_MESSAGES", "120", "tether.E001"),
        ("RATE_LIMIT_COMMANDS", "0/m", "tether.E001"),
        ("MAX_CONNECTIONS_PER_USER", 0, "tether.E002"),
        ("HEARTBEAT_SECONDS", float("nan"), "tether.E002"),
        ("SCRIPTED_DELAY_MS", -1, "tether.E002"),
        ("TRUSTED_PROXIES", ["proxy.local"], "tether.E003"),
        ("ALLOWED_ORIGINS", ["https://chat.example.org/"], "tether.E004"),
        ("ALLOWED_ORIGINS", ["*"], "tether.E004"),
        ("LOG_LEVEL", "LOUD", "tether.E005"),
    ],
)
def test_a_wrong_setting_has_an_id_and_its_name_in_the_text(settings, name, value, code):
    setattr(settings, name, value)
    (error,) = check_settings()
    assert (error.id, error.msg.split(":")[0]) == (code, name)


def test_a_rate_is_an_amount_and_a_period():
    assert parse_rate("120/m") == Rate(capacity=120, per_second=2)
    assert parse_rate("10/s") == Rate(capacity=10, per_second=10)
    assert parse_rate("off") is None


@pytest.mark.parametrize("text", ["", "fast", "-1/m", "1.5/s", "10/d", "10 / s", "01/s", "10/s\n", "OFF"])
def test_other_texts_are_no_rate(text):
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate(text)
