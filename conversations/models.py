"""What the database keeps: people, session metadata, and the archive of every log.

The log in Redis is the truth for what is newer than `Conversation.archived_seq`; rows here are its copy
(`Event`, `Message`, `Turn`) or facts that only people change (`Member`, `Device`, `Token`).
"""

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .audit.entry import AuditEntry as AuditEntry  # a model, so that Django finds it here


class User(AbstractUser):
    """A person. Empty language and time zone mean: as the browser has it."""

    class Theme(models.TextChoices):
        AUTO = "", _("As the device has it")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    language = models.CharField(_("language"), max_length=16, blank=True)
    theme = models.CharField(_("theme"), max_length=5, choices=Theme, blank=True, default=Theme.AUTO)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)
    erasing_since = models.DateTimeField(_("erasing since"), null=True, blank=True, editable=False)
    instructions = models.TextField(
        _("instructions"), blank=True, help_text=_("what the assistant is asked in every conversation")
    )

    class Meta(AbstractUser.Meta):
        indexes = [models.Index(fields=["erasing_since"], condition=Q(erasing_since__isnull=False), name="to_forget")]


class Installation(models.Model):
    """One row that names this database, so that a Redis that belongs to another one is refused."""

    id = models.UUIDField(_("id"), primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("installation")
        verbose_name_plural = _("installations")
        permissions = [
            ("drain_nodes", _("Can drain a node")),
            ("send_notices", _("Can send a notice to people")),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Conversation(models.Model):
    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        DELETED = "deleted", _("deleted")  # hidden; erased 30 s later

    id = models.UUIDField(_("id"), primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(User, models.CASCADE, related_name="owned_conversations", verbose_name=_("owner"))
    title = models.CharField(_("title"), max_length=200, blank=True)
    topic = models.CharField(_("topic"), max_length=200, blank=True)
    language = models.CharField(_("language"), max_length=16, blank=True)
    model = models.CharField(_("model"), max_length=100, blank=True, help_text=_("of CHAT_MODELS; empty: the default"))
    instructions = models.TextField(
        _("instructions"), blank=True, help_text=_("what the assistant is asked in this conversation")
    )
    status = models.CharField(_("status"), max_length=8, choices=Status, default=Status.ACTIVE)
    epoch = models.PositiveIntegerField(_("epoch"), default=1)
    archived_seq = models.PositiveBigIntegerField(_("archived seq"), default=0, help_text=_("the archive's head"))
    archived_chain = models.CharField(_("archived chain"), max_length=16, default="0" * 16)
    cleared_seq = models.PositiveBigIntegerField(_("cleared seq"), default=0)
    message_count = models.PositiveIntegerField(_("message count"), default=0)
    preview = models.CharField(_("preview"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    last_active_at = models.DateTimeField(_("last active at"))
    deleted_at = models.DateTimeField(_("deleted at"), null=True, blank=True)
    members = models.ManyToManyField(User, through="Member", related_name="conversations", verbose_name=_("members"))

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        indexes = [
            models.Index(fields=["-last_active_at", "id"]),
            models.Index(fields=["deleted_at"], condition=Q(status="deleted"), name="to_erase"),
        ]
        permissions = [("view_content", _("Can see what people have written"))]

    def __str__(self) -> str:
        return str(self.id)  # its title is content


class Member(models.Model):
    class Role(models.TextChoices):
        OWNER = "owner", _("owner")
        MEMBER = "member", _("member")

    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="memberships", verbose_name=_("conversation")
    )
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships", verbose_name=_("user"))
    role = models.CharField(_("role"), max_length=8, choices=Role, default=Role.OWNER)
    joined_seq = models.PositiveBigIntegerField(_("joined seq"), default=0)
    left_seq = models.PositiveBigIntegerField(_("left seq"), null=True, blank=True)
    archived = models.BooleanField(_("archived"), default=False)
    pinned = models.BooleanField(_("pinned"), default=False)
    read_seq = models.PositiveBigIntegerField(_("read seq"), default=0)
    draft = models.TextField(_("draft"), blank=True)
    draft_device_id = models.CharField(_("draft device id"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints = [
            models.UniqueConstraint(fields=["user", "conversation"], name="one_membership"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.conversation_id}"


class Token(models.Model):
    """A bearer token. Only its SHA-256 is kept; the text is shown once, when it is made."""

    user = models.ForeignKey(User, models.CASCADE, related_name="tokens", verbose_name=_("user"))
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=100, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)

    class Meta:
        verbose_name = _("token")
        verbose_name_plural = _("tokens")

    def __str__(self) -> str:
        return f"{self.name or 'token'} #{self.pk}"


class Device(models.Model):
    """A browser or client of a user, as it named itself; revoking it also revokes its token."""

    user = models.ForeignKey(User, models.CASCADE, related_name="devices", verbose_name=_("user"))
    device_id = models.CharField(_("device id"), max_length=64)
    name = models.CharField(_("name"), max_length=100, blank=True)
    token = models.ForeignKey(
        Token, models.SET_NULL, null=True, blank=True, related_name="devices", verbose_name=_("token")
    )
    session_key = models.CharField(_("session key"), max_length=40, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    last_seen_at = models.DateTimeField(_("last seen at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        constraints = [models.UniqueConstraint(fields=["user", "device_id"], name="one_device")]

    def __str__(self) -> str:
        return self.name or self.device_id


class Turn(models.Model):
    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        WAITING = "waiting", _("waiting")
        DONE = "done", _("done")
        CANCELLED = "cancelled", _("cancelled")
        FAILED = "failed", _("failed")

    id = models.UUIDField(_("id"), primary_key=True, editable=False)
    # No index of its own: those below begin with it, and each costs every row that is archived.
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="turns", db_index=False, verbose_name=_("conversation")
    )
    seq = models.PositiveBigIntegerField(_("seq"), help_text=_("of the message that asked for it"))
    status = models.CharField(_("status"), max_length=9, choices=Status, default=Status.QUEUED)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    node = models.CharField(_("node"), max_length=64, blank=True)
    queued_at = models.DateTimeField(_("queued at"))
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    first_piece_at = models.DateTimeField(_("first piece at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    usage = models.JSONField(_("usage"), default=dict, blank=True)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("turn")
        verbose_name_plural = _("turns")
        indexes = [
            models.Index(fields=["conversation", "-seq"]),
            models.Index(fields=["-queued_at"]),
            models.Index(fields=["-queued_at"], condition=Q(status="failed"), name="failed_turns"),
        ]
        permissions = [("control_turns", _("Can cancel turns and try them again"))]

    def __str__(self) -> str:
        return str(self.id)


class Event(models.Model):
    """One entry of a conversation's log, byte for byte as it was delivered (`body`)."""

    # No index of its own: those below begin with it, and each costs every row that is archived.
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="events", db_index=False, verbose_name=_("conversation")
    )
    epoch = models.PositiveIntegerField(_("epoch"))
    seq = models.PositiveBigIntegerField(_("seq"))
    chain = models.CharField(_("chain"), max_length=16)
    kind = models.CharField(_("kind"), max_length=32)
    at = models.DateTimeField(_("at"))
    body = models.TextField(_("body"))

    class Meta:
        verbose_name = _("log entry")
        verbose_name_plural = _("log entries")
        constraints = [models.UniqueConstraint(fields=["conversation", "seq"], name="one_event_a_seq")]
        # Few: what a log that comes back has to know beside its head.
        indexes = [
            models.Index(fields=["conversation", "seq"], condition=Q(kind="message.superseded"), name="superseding"),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} {self.seq} {self.kind}"


class WorkingShares(models.QuerySet["Share"]):
    def working(self) -> "WorkingShares":
        """Return those that were neither taken back nor have ended by themselves."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)


class Share(models.Model):
    """A link by which anybody may read a conversation up to ``seq``. Only the link's SHA-256 is kept.

    The title is the one from when it was made; clearing takes it away.
    """

    id = models.UUIDField(_("id"), primary_key=True, editable=False)
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="shares", verbose_name=_("conversation")
    )
    made_by = models.ForeignKey(User, models.CASCADE, related_name="shares", verbose_name=_("made by"))
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    seq = models.PositiveBigIntegerField(_("seq"), help_text=_("what was said later is not shown"))
    title = models.CharField(_("title"), max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)

    objects = WorkingShares.as_manager()

    class Meta:
        verbose_name = _("shared link")
        verbose_name_plural = _("shared links")

    def __str__(self) -> str:
        return str(self.id)


class Rating(models.Model):
    """What a member thinks of one answer."""

    class Value(models.TextChoices):
        UP = "up", _("good")
        DOWN = "down", _("bad")

    user = models.ForeignKey(User, models.CASCADE, related_name="ratings", verbose_name=_("user"))
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="ratings", verbose_name=_("conversation")
    )
    message_id = models.UUIDField(_("message id"))
    seq = models.PositiveBigIntegerField(_("seq"), help_text=_("of the answer"))
    rating = models.CharField(_("rating"), max_length=4, choices=Value)
    comment = models.TextField(_("comment"), blank=True)
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("rating")
        verbose_name_plural = _("ratings")
        constraints = [models.UniqueConstraint(fields=["user", "message_id"], name="one_rating_a_message")]

    def __str__(self) -> str:
        return f"{self.rating} for {self.message_id}"


class Message(models.Model):
    """What was said: the `message` entries of the log, in columns."""

    class Role(models.TextChoices):
        USER = "user", _("user")
        ASSISTANT = "assistant", _("assistant")
        SYSTEM = "system", _("system")

    # No index of its own: those below begin with it, and each costs every row that is archived.
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="messages", db_index=False, verbose_name=_("conversation")
    )
    seq = models.PositiveBigIntegerField(_("seq"))
    message_id = models.UUIDField(_("message id"), unique=True)
    role = models.CharField(_("role"), max_length=9, choices=Role)
    author = models.CharField(_("author"), max_length=64, help_text=_("a user's id, or 'assistant'"))
    device_id = models.CharField(_("device id"), max_length=64, blank=True)
    client_id = models.CharField(_("client id"), max_length=64, blank=True)
    turn_id = models.UUIDField(_("turn id"), null=True, blank=True)
    status = models.CharField(_("status"), max_length=9, default="complete")
    content = models.TextField(_("content"))
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="one_message_a_seq"),
            models.UniqueConstraint(
                fields=["conversation", "author", "client_id"],
                condition=~Q(client_id=""),
                name="one_message_a_client_id",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} {self.seq} {self.role}"
