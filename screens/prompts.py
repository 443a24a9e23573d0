"""Questions that a connection asks the admin while it connects: host keys, logins, passwords.

`ScreenInteraction` is called in a connecting thread and waits there for the answer; the dialogs run on the
screen. Nothing typed here is kept but the sudo password, in memory, until the program ends.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from axiom_tui.clients.ssh_values import Interaction, LoginBanner, UnknownHostKey
from axiom_tui.model.secret import Secret
from screens.frame import now
from screens.widgets.cells import visible_lines

if TYPE_CHECKING:
    from axiom_tui.app import AxiomApp

T = TypeVar("T")

#: A question that nobody answers ends as "no"; the plan then says so and can be resumed.
ANSWER_WITHIN = 600.0  # seconds


class Question(Message):
    """A dialog to be shown; its result goes into ``reply``."""

    def __init__(self, dialog: Prompt[Any], reply: queue.SimpleQueue[Any]) -> None:
        super().__init__()
        self.dialog, self.reply = dialog, reply


class Login(Message):
    """Tailscale SSH waits for the admin's login (``banner.url``), or does so no more (no URL)."""

    def __init__(self, banner: LoginBanner) -> None:
        super().__init__()
        self.banner = banner


class Withdrawn(Message):
    """Nobody waits for the answer to this question any more."""

    def __init__(self, dialog: Prompt[Any]) -> None:
        super().__init__()
        self.dialog = dialog


class Prompt(ModalScreen[T]):
    """A dialog that is answered once: a second key that comes at once must not close what lies below."""

    _is_answered = False
    _is_over = False

    def answer(self, value: T) -> None:
        if not self._is_answered:
            self._is_answered = True
            self.dismiss(value)

    def no(self) -> T:
        """The answer of somebody who gives none."""
        raise NotImplementedError

    def end(self) -> None:
        """Nobody waits for an answer any more: close, as soon as nothing lies on top of this."""
        self._is_over = True
        if self.is_active:  # "is_current" is true below another dialog too
            self.answer(self.no())

    def on_screen_resume(self) -> None:
        if self._is_over:
            self.answer(self.no())


class SecretDialog(Prompt[Secret | None]):
    """Asks for a secret; what is typed is not shown. ``esc`` gives none.

    ``hint`` is for those who can't know it: what there is to say about the secret itself.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "give none")]

    def __init__(self, title: str, note: str = "") -> None:
        super().__init__()
        self._title, self._note = title, note
        self.hint = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide-text"):
            yield Static(Content(visible_lines(self._title)), classes="dialog-title")
            if self._note:
                yield Static(Content.styled(self._note, "$text-warning"))
            if self.hint:
                yield Static(Content.styled(visible_lines(self.hint), "$text-muted"))
            yield Input(password=True)
            yield Static("[b]enter[/b] give it   [b]esc[/b] give none", classes="dialog-keys")

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.answer(Secret(event.value) if event.value else None)

    def action_close(self) -> None:
        self.answer(self.no())

    def no(self) -> Secret | None:
        return None


class HostKeyDialog(Prompt[bool]):
    """Shows an unknown host key's fingerprint; the default is to refuse."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "refuse", "refuse")]

    def __init__(self, unknown: UnknownHostKey) -> None:
        super().__init__()
        self._unknown = unknown

    def compose(self) -> ComposeResult:
        unknown = self._unknown
        with Vertical(classes="dialog wide-text"):
            yield Static(
                Content(visible_lines(f"Nobody vouches for the host key of {unknown.host}")),
                classes="dialog-title",
            )
            yield Static(
                Content.assemble(
                    f"{unknown.key_type}\n",
                    (unknown.fingerprint, "bold $text-accent"),
                    "\n\nCompare it with what this command prints on the provider's console:\n",
                    (unknown.command, "bold"),
                    f"\n\nIf it is the same, it is stored in {unknown.stored_in}.",
                )
            )
            with Horizontal(classes="dialog-buttons"):
                yield Button("Refuse", id="refuse", compact=True)
                yield Button("It is the same", id="accept", compact=True)

    def on_mount(self) -> None:
        self.query_one("#refuse").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.answer(event.button.id == "accept")

    def action_refuse(self) -> None:
        self.answer(self.no())

    def no(self) -> bool:
        return False


class LoginDialog(Prompt[None]):
    """Shows the URL at which Tailscale SSH wants the admin to log in, and how long it waits."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "copy"),
        Binding("o", "open", "open"),
        Binding("escape", "close", "hide"),
    ]

    def __init__(self, banner: LoginBanner) -> None:
        super().__init__()
        self._banner = banner

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide-text"):
            yield Static("Tailscale SSH wants you to log in", classes="dialog-title")
            yield Static(Content.styled(visible_lines(self._banner.url), "bold $text-accent"), id="login-url")
            yield Static(id="login-left")
            yield Static("[b]o[/b] open   [b]c[/b] copy   [b]esc[/b] hide", classes="dialog-keys")

    def on_mount(self) -> None:
        self._tick()
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        minutes, seconds = divmod(int(self._banner.time_left(now()).total_seconds()), 60)
        self.query_one("#login-left", Static).update(
            f"It goes on by itself once you have; it waits {minutes}:{seconds:02} more."
        )

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._banner.url)
        self.app.notify("Copied the address.")

    def action_open(self) -> None:
        self.app.open_url(self._banner.url)

    def action_close(self) -> None:
        self.answer(None)

    def no(self) -> None:
        return None


class ScreenInteraction(Interaction):
    """Asks on screen. Called in connecting threads; each question waits there for its answer."""

    def __init__(self, app: AxiomApp) -> None:
        self._app = app
        self._sudo: dict[tuple[str, str], Secret] = {}

    def login_banner(self, banner: LoginBanner) -> None:
        self._app.post_message(Login(banner))

    def confirm_host_key(self, unknown: UnknownHostKey) -> bool:
        named = replace(unknown, host=self._named(unknown.host))
        return self._ask(lambda: HostKeyDialog(named), False)

    def passphrase(self, key_file: Path, again: bool) -> Secret | None:
        return self._secret(f"Passphrase of {key_file.name}", again)

    def password(self, user: str, host: str, again: bool) -> Secret | None:
        return self._secret(f"Password of {user} on {self._named(host)}", again)

    def sudo_password(self, user: str, host: str, again: bool) -> Secret | None:
        if not again and (user, host) in self._sudo:
            return self._sudo[(user, host)]
        given = self._secret(f"Password that sudo asks {user} for on {self._named(host)}", again)
        if given is not None:
            self._sudo[(user, host)] = given
        return given

    def _named(self, host: str) -> str:
        """The host as the admin knows it; logins go by its address."""
        for row in self._app.fleet.rows:
            known = row.device.addresses if row.device is not None else ()
            if host in known or (row.node is not None and host in row.node.internal_ips):
                return f"{row.name} ({host})"
        return host

    def _secret(self, title: str, again: bool) -> Secret | None:
        note = "The one before was refused." if again else ""
        return self._ask(lambda: SecretDialog(title, note), None)

    def _ask(self, dialog: Callable[[], Prompt[Any]], otherwise: T) -> T:
        reply: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        question = Question(dialog(), reply)
        if not self._app.post_message(question):
            return otherwise  # the program is ending
        try:
            answer = reply.get(timeout=ANSWER_WITHIN)
        except queue.Empty:
            self._app.post_message(Withdrawn(question.dialog))
            return otherwise
        return otherwise if answer is None else answer
