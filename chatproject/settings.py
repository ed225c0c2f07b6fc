"""Settings, typed and read once from the environment. Every default works on a laptop.

`ENVIRONMENT=production` makes SECRET_KEY, ALLOWED_HOSTS and ALLOWED_ORIGINS mandatory and cookies secure.
The names and defaults that operators may rely on stand in docs/deployment.md.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from . import compiled

compiled.check()  # before any of them is imported

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

ENVIRONMENT = env.str("ENVIRONMENT", default="development")
if ENVIRONMENT not in ("development", "production"):
    raise ImproperlyConfigured(f"ENVIRONMENT is {ENVIRONMENT!r}: set it to development or production")
PRODUCTION = ENVIRONMENT == "production"
DEBUG = env.bool("DEBUG", default=False)

VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var")))


def _development_secret() -> str:
    """One secret for all nodes of this machine, made at first use and kept in var/."""
    path = VAR_DIR / "secret_key"
    if not path.exists():
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"secret_key.{os.getpid()}")
        draft.write_text(secrets.token_urlsafe(48))
        draft.chmod(0o600)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # atomic: the first of several nodes wins
        draft.unlink()
    return path.read_text()


SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    if PRODUCTION:
        raise ImproperlyConfigured("SECRET_KEY is missing: set it to a long random text, the same on every node")
    SECRET_KEY = _development_secret()
# Former ones: what was signed or sealed by them is still read, and nothing new is. Dropped again after `migrate`.
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])
# For the pseudonyms and the chain of the audit journal; its own, so that SECRET_KEY can be changed.
AUDIT_KEY = env.str("AUDIT_KEY", default="") or SECRET_KEY

LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
# Exact origins (scheme://host:port) whose pages may use a login cookie on the WebSocket.
ALLOWED_ORIGINS: list[str] = env.list("ALLOWED_ORIGINS", default=[])
ORIGINS_GIVEN = bool(ALLOWED_ORIGINS)
if PRODUCTION and not (ALLOWED_HOSTS and ALLOWED_ORIGINS):
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS or ALLOWED_ORIGINS is missing: set both, for example chat.example.org "
        "and https://chat.example.org"
    )
if not PRODUCTION:
    ALLOWED_HOSTS = ALLOWED_HOSTS or LOOPBACK_HOSTS
    ALLOWED_ORIGINS = ALLOWED_ORIGINS or [f"http://{host}:{env.int('PORT', default=8000)}" for host in LOOPBACK_HOSTS]
CSRF_TRUSTED_ORIGINS = ALLOWED_ORIGINS
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", default=[])
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PRODUCTION else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("COOKIES_SECURE", default=PRODUCTION)
SESSION_COOKIE_SAMESITE = "Lax"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "csp",
    "chatproject",
    "accounts",  # before allauth: our templates of its pages come first
    "realtime",
    "conversations",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
]

MIDDLEWARE = [
    "accounts.address.ClientAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.preferences.PreferencesMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "conversations.audit.actor.acting_middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]

ROOT_URLCONF = "chatproject.urls"
ASGI_APPLICATION = "chatproject.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "csp.context_processors.nonce",
            ],
        },
    },
]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    },
}

# -- database: SQLite in WAL for one machine, PostgreSQL by DATABASE_URL
DATABASE_URL = env.str("DATABASE_URL", default="") or f"sqlite:///{VAR_DIR / 'db.sqlite3'}"
DATABASES: dict[str, Any] = {"default": env.db_url_config(DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A client waits 10 s for an answer; by then it must know that somebody else holds the file.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    } | DATABASES["default"].get("OPTIONS", {})
    DATABASES["default"]["CONN_MAX_AGE"] = None  # opening it costs more than most queries
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "conversations.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"

# -- accounts, by django-allauth: people are known by their user name, an address is for resets only
SIGNUP_OPEN = env.bool("SIGNUP_OPEN", default=False)
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_USERNAME_BLACKLIST = ["assistant", "system", "tether"]
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_SESSION_COOKIE_AGE = 14 * 24 * 3600  # as Django's own
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # a new address can give the account away, by a mailed reset
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_LOGIN_ON_PASSWORD_RESET = False  # whoever has the mail still lacks the second factor
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
RATE_LIMIT_LOGINS = env.str("RATE_LIMIT_LOGINS", default="30/m")
ACCOUNT_RATE_LIMITS = {"login": "" if RATE_LIMIT_LOGINS == "off" else f"{RATE_LIMIT_LOGINS}/ip"}
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if PRODUCTION else "http"
MFA_ADAPTER = "accounts.adapter.FactorAdapter"
MFA_FORMS = {"add_webauthn": "accounts.forms.AddKeyForm"}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # nobody signs in by address, so an unverified one opens and blocks nothing
MFA_TOTP_ISSUER = "Tether"
MFA_TOTP_TOLERANCE = 1

# -- mail: to the console unless EMAIL_URL says where
EMAIL_URL = env.str("EMAIL_URL", default="")
if EMAIL_URL:
    _email = env.email_url_config(EMAIL_URL)
    EMAIL_BACKEND, EMAIL_HOST, EMAIL_PORT = _email["EMAIL_BACKEND"], _email["EMAIL_HOST"], _email["EMAIL_PORT"]
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _email["EMAIL_HOST_USER"], _email["EMAIL_HOST_PASSWORD"]
    EMAIL_USE_TLS, EMAIL_USE_SSL = _email.get("EMAIL_USE_TLS", False), _email.get("EMAIL_USE_SSL", False)
    EMAIL_FILE_PATH = _email["EMAIL_FILE_PATH"]
    EMAIL_TIMEOUT = 10
else:
    EMAIL_BACKEND = "chatproject.mail.ConsoleBackend"
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("EMAIL_FROM", default="Tether <tether@localhost>")

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
# Where `collectstatic` collects; it must exist, and may stay empty: the finders serve what is not collected.
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# -- Redis: the log, the turns, the checkpoints; and the channel layer between nodes
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CHANNEL_REDIS_URL = env.str("CHANNEL_REDIS_URL", default="") or REDIS_URL
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "realtime.layer.TetherChannelLayer",
        "CONFIG": {"hosts": [CHANNEL_REDIS_URL], "prefix": "tether"},
    }
}

# What all nodes must agree on for minutes: attempts to sign in. JSON, since who writes to Redis must not run code here.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "tether:cache",
        "OPTIONS": {"serializer": "chatproject.cache.JsonSerializer"},
    }
}

# -- what the protocol promises (docs/protocol.md)
RATE_LIMIT_MESSAGES = env.str("RATE_LIMIT_MESSAGES", default="120/m")
RATE_LIMIT_COMMANDS = env.str("RATE_LIMIT_COMMANDS", default="600/m")
MAX_CONNECTIONS_PER_USER = env.int("MAX_CONNECTIONS_PER_USER", default=20)
MAX_CONNECTIONS_PER_ADDRESS = env.int("MAX_CONNECTIONS_PER_ADDRESS", default=200)
MAX_CONVERSATIONS_PER_USER = env.int("MAX_CONVERSATIONS_PER_USER", default=10_000)
MAX_MESSAGES_PER_CONVERSATION = env.int("MAX_MESSAGES_PER_CONVERSATION", default=100_000)
AUTH_TIMEOUT_SECONDS = env.float("AUTH_TIMEOUT_SECONDS", default=10)
HEARTBEAT_SECONDS = env.float("HEARTBEAT_SECONDS", default=25)
FLOW_WINDOW_BYTES = env.int("FLOW_WINDOW_BYTES", default=262_144)
FLOW_TIMEOUT_SECONDS = env.float("FLOW_TIMEOUT_SECONDS", default=30)

# -- turns
CHAT_MODEL = env.str("CHAT_MODEL", default="scripted")
LEASE_SECONDS = env.float("LEASE_SECONDS", default=6)
MAX_TURNS = env.int("MAX_TURNS", default=200)
CHECKPOINT_TTL_DAYS = env.float("CHECKPOINT_TTL_DAYS", default=30)
# What a conversation may choose besides CHAT_MODEL, and who answers where the chosen one cannot, in order.
CHAT_MODELS: list[str] = [each for each in env.list("CHAT_MODELS", default=[]) if each]
CHAT_FALLBACKS: list[str] = [each for each in env.list("CHAT_FALLBACKS", default=[]) if each]
CHAT_RETRIES = env.int("CHAT_RETRIES", default=2)
CHAT_SILENCE_SECONDS = env.float("CHAT_SILENCE_SECONDS", default=90)
CHAT_ANSWER_SECONDS = env.float("CHAT_ANSWER_SECONDS", default=600)
# The tools that a provider's model may call; `all`, or names; empty: none.
CHAT_TOOLS: list[str] = [each for each in env.list("CHAT_TOOLS", default=["all"]) if each]
CHAT_MEMORY_DAYS = env.float("CHAT_MEMORY_DAYS", default=365)
# `module:function` that returns another graph with a `messages` state; empty: ours.
CHAT_GRAPH = env.str("CHAT_GRAPH", default="")
SCRIPTED_DELAY_MS = env.float("SCRIPTED_DELAY_MS", default=20)
SCRIPTED_STEPS_FILE = env.str("SCRIPTED_STEPS_FILE", default="")
# Where `CHAT_MODEL=local` finds its OpenAI-compatible server; `cluster` starts one and sets this.
LOCAL_MODEL_URL = env.str("LOCAL_MODEL_URL", default="http://127.0.0.1:8089/v1")

# -- the archive: a conversation idle for so long leaves Redis; its next reader brings it back
PARK_AFTER_DAYS = env.float("PARK_AFTER_DAYS", default=7)

# -- a node
NODE_NAME = env.str("NODE_NAME", default="")
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
LOG_FORMAT = env.str("LOG_FORMAT", default="console")
LOG_FILE = env.str("LOG_FILE", default="")
