"""The join wizard on an embedded Axiom with real SSH: by keyboard alone, and how it goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.screen import Screen as TextualScreen
from textual.widgets import Button, Input, OptionList, RichLog

from axiom_tui.app import AxiomApp
from axiom_tui.config import state_directory
from axiom_tui.fleet import source as source_module
from axiom_tui.model.pools import ENABLE_LABEL, POOL_LABEL
from axiom_tui.plans.entry import Entry
from axiom_tui.plans.journal import Journal
from axiom_tui.simulator.axiom import EmbeddedAxiom
from screens.dialogs import ChoiceScreen
from screens.prompts import HostKeyDialog, LoginDialog, SecretDialog
from screens.wizard import WizardScreen
from tests.screens.live import Screen, running
from tests.screens.test_wizards import press_button, stage

SMALL = (80, 24)
#: Enough for most of a page.
LARGE = (100, 50)
#: Of technat, on every host: a text that stands nowhere else.
PASSWORD = "seven otters knit"
#: What stands in the way comes right after the line that sums up.
FIRST_FAIL = "in the way. ✗ fail "
NEWCOMER, NEWCOMER_ARM, WAITING = "ubuntu-4gb-nbg1-2", "ubuntu-8gb-hel1-1", "pi5-keller"
QUICK = "install_timeout: 20s, ready_timeout: 20s"


@pytest.fixture(autouse=True)
def _still_clock() -> None:
    """Here the clock goes on."""


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of the sources come soon."""
    monkeypatch.setattr(source_module, "FIRST_DELAY", 0.1)
    monkeypatch.setattr(source_module, "LONGEST_DELAY", 0.5)


@pytest.fixture
def axiom(tmp_path: Path) -> Iterator[EmbeddedAxiom]:
    with EmbeddedAxiom(tmp_path / "axiom", alive=False) as world:
        for host in world.hosts:
            host.password = PASSWORD
        yield world


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every frame that was drawn while the test ran, as text."""
    seen: list[str] = []
    display = AxiomApp._display

    def drawn(app: AxiomApp, screen: TextualScreen[Any], renderable: Any) -> None:
        display(app, screen, renderable)
        if renderable is not None and screen is app.screen and screen.is_attached:
            text = "\n".join(strip.text for strip in screen._compositor.render_strips())
            if not seen or seen[-1] != text:
                seen.append(text)

    monkeypatch.setattr(AxiomApp, "_display", drawn)
    return seen


def settings(axiom: EmbeddedAxiom, join: str = QUICK, ssh: str = "") -> Path:
    """The world's settings with other waits."""
    text = axiom.settings.read_text()
    sha256 = text.partition("install_sha256: ")[2].split()[0]
    text = text.partition("join:\n")[0]
    if ssh:
        text = text.replace("ssh:\n", f"ssh:\n  {ssh}\n")
    path = axiom.directory / "quick.yaml"
    path.write_text(f"{text}join: {{install_sha256: {sha256}, {join}}}\n")
    return path


@asynccontextmanager
async def at_home(
    axiom: EmbeddedAxiom, size: tuple[int, int] = LARGE, join: str = QUICK, ssh: str = ""
) -> AsyncIterator[Screen]:
    """The program, with the fleet in sight and every plane live."""
    async with running(settings(axiom, join, ssh), size) as screen:
        await screen.sees("M-O-1", "K8s ● live", "Tailnet ● live", "not in the cluster")
        await screen.until(lambda: len(devices(screen)) == 3, "to see the devices that are no node")
        yield screen


def devices(screen: Screen) -> list[str]:
    return [row.name for row in screen.app.fleet.rows if row.node is None]


async def choose(screen: Screen, host: str = "") -> None:
    """Open the wizard; any other host than the first device is typed in."""
    await screen.press("n")
    await stage(screen, "choose")
    if host:
        await screen.press("end", "enter")
        await screen.type(host)


async def give(screen: Screen, text: str = PASSWORD) -> str:
    """Answer the next dialog that asks for a secret; gives what it said."""
    await shown(screen, SecretDialog)
    said = screen.text
    assert text not in said
    await screen.type(text)
    assert text not in screen.text
    dialog = screen.app.screen
    await screen.press("enter")
    await screen.until(lambda: screen.app.screen is not dialog, "for the dialog to close")
    return said


async def shown(screen: Screen, dialog: type[TextualScreen[Any]]) -> None:
    await screen.until(
        lambda: isinstance(screen.app.screen, dialog) and screen.app.screen.is_mounted,
        f"for {dialog.__name__}",
    )
    await screen.pilot.pause()


async def to_check(screen: Screen) -> str:
    """From Choose to Check, with the passwords of sudo on the way; all that Check says."""
    await screen.press("ctrl+n")
    await give(screen)
    await give_if_asked(screen, "check")
    return said_on(screen, "check-text")


async def to_plan(screen: Screen) -> None:
    await to_check(screen)
    await screen.press("ctrl+n")
    await stage(screen, "plan")


async def to_result(screen: Screen) -> str:
    """From Plan to Result; nothing is asked on the way. All that Result says."""
    await screen.press("ctrl+n")
    await stage(screen, "result")
    return said_on(screen, "result-text")


async def press_next(screen: Screen) -> None:
    """The button that leads on has the focus; once pressed it takes no second key for a moment."""
    button = screen.app.screen.query_one("#next", Button)
    await screen.until(lambda: button.has_focus and not button.has_class("-active"), "for the button")
    await screen.press("enter")


def said_on(screen: Screen, name: str) -> str:
    """The whole text of a page, also what is scrolled away."""
    return " ".join(str(screen.app.screen.query_one(f"#{name}").render()).split())


def field(screen: Screen, name: str) -> str:
    return screen.app.screen.query_one(f"#{name}", Input).value


async def fill(screen: Screen, name: str, text: str) -> None:
    """Tab to a field and type it anew."""
    await reach(screen, name)
    await screen.press("home", "shift+end", "delete")
    await screen.type(text)


async def reach(screen: Screen, name: str) -> None:
    for _ in range(12):
        if screen.app.focused is not None and screen.app.focused.id == name:
            return
        await screen.press("tab")
    raise AssertionError(f"tab does not lead to {name}:\n{screen.lines}")


async def pick(screen: Screen, name: str, down: int) -> None:
    """Choose an option of a select, so many below the first."""
    await reach(screen, name)
    await screen.press("enter", "home", *["down"] * down, "enter")


def node(axiom: EmbeddedAxiom, name: str) -> dict[str, Any] | None:
    return axiom.store.get("nodes", name)


def labels(axiom: EmbeddedAxiom, name: str) -> tuple[str | None, str | None]:
    found = node(axiom, name)
    assert found is not None
    return found["metadata"]["labels"].get(ENABLE_LABEL), found["metadata"]["labels"].get(POOL_LABEL)


def entries() -> list[Entry]:
    return list(Journal(state_directory()).entries())


def is_untouched(axiom: EmbeddedAxiom, host: str = NEWCOMER) -> bool:
    found = axiom.hosts[host]
    return (
        found.name == host
        and found.files.find("/etc/rancher") is None
        and found.files.find("/usr/local/bin/k3s") is None
        and not entries()
    )


# -- all the way -------------------------------------------------------------------------------------------


async def test_from_the_finding_to_a_ready_node(axiom: EmbeddedAxiom, frames: list[str]) -> None:
    """By keyboard alone at 80x24, and nothing secret is ever drawn, said, copied or written down."""
    async with at_home(axiom, SMALL) as screen:
        await screen.press("5")
        await screen.type(f"/{NEWCOMER}")
        await screen.press("enter", "enter")
        await stage(screen, "choose")
        assert NEWCOMER in screen.page("join-host").split("hetzner")[0]
        assert field(screen, "join-name") == "WALL-A-10"
        await screen.press("ctrl+n")
        assert f"sudo asks technat for on {NEWCOMER} (100." in await give(screen)
        assert "sudo asks technat for on M-O-" in await give(screen)
        await stage(screen, "check")
        checks = said_on(screen, "check-text")
        assert "✗" not in checks
        assert is_untouched(axiom)
        await press_next(screen)
        await stage(screen, "plan")
        plan = said_on(screen, "plan-text")
        assert "Join WALL-A-10 as agent" in plan
        assert "minecraft/flasche: gains wall-a-10" in plan
        assert "all of it can be undone" in plan
        assert is_untouched(axiom)
        await press_next(screen)
        await stage(screen, "result")
        result = said_on(screen, "result-text")
        assert "✓ Done." in result
        assert "Prove that WALL-A-10 is all in order" in result
        assert "wall-a-10.axiom.technat.ch A 100." in result.partition("Left to do")[2]
        await screen.press("c")
        copied = screen.app.clipboard
        assert "# axiom-tui: join WALL-A-10 as agent" in copied
        output = "\n".join(str(line) for line in screen.app.screen.query_one("#output", RichLog).lines)
        await screen.press("enter")
        await screen.press("1")
        # It stands in the fleet by itself, as the cluster says it.
        await screen.sees("WALL-A-10 amd64 ● Ready")
        (row,) = [row for row in screen.app.fleet.rows if row.name == "WALL-A-10"]
        assert (row.verdict, row.pool_found) == ("", "external")
        assert NEWCOMER not in devices(screen)
        seen = [*frames, copied, output, *screen.app.messages]
    assert labels(axiom, "wall-a-10") == ("true", "external")
    assert [entry.outcome for entry in entries()] == ["done"]
    assert any("WALL-A-10" in frame for frame in frames)
    assert any("•••" in frame for frame in frames)  # the password dialog while one typed
    written = [path.read_text() for path in state_directory().rglob("*") if path.is_file()]
    tokens = [token.secret for token in axiom.hosts.secrets.tokens()]
    secrets = [PASSWORD, axiom.hosts.secrets.server_password, *tokens]
    assert len(secrets) == 3
    for secret in secrets:
        assert not [text for text in (*seen, *written) if secret in text]
        assert not [host.name for host in axiom.hosts if secret in host.traces()]


async def test_from_the_command_line_and_from_the_selected_device(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom, SMALL) as screen:
        await screen.command("join")
        await stage(screen, "choose")
        assert chosen(screen) == NEWCOMER
        await screen.press("escape")
        await screen.said("Left “Join a node”: nothing was changed.")
        await screen.press("G")  # the last row of the fleet
        await screen.press("n")
        await stage(screen, "choose")
        assert chosen(screen) == NEWCOMER_ARM
        await screen.press("ctrl+n")  # sudo asks for no password there
        assert "sudo asks technat for on M-O-" in await give(screen)
        await stage(screen, "check")
        assert "The CPU is arm64." in said_on(screen, "check-text")


def chosen(screen: Screen) -> str:
    hosts = screen.app.screen.query_one("#join-host", OptionList)
    assert hosts.highlighted_option is not None
    return str(hosts.highlighted_option.prompt).split()[0]


async def test_a_device_that_nobody_can_reach_is_listed_last(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom) as screen:
        await choose(screen)
        text = screen.page("join-host")
        assert text.index(NEWCOMER) < text.index(NEWCOMER_ARM) < text.index(WAITING)
        assert "waits for approval" in text
        assert text.index(WAITING) < text.index("another host")


# -- names -------------------------------------------------------------------------------------------------


async def test_names(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom) as screen:
        await choose(screen)
        assert field(screen, "join-name") == "WALL-A-10"  # 6 is free too, and may be remembered somewhere
        await pick(screen, "join-role", 1)
        assert field(screen, "join-name") == "M-O-4"
        await pick(screen, "join-role", 0)
        assert field(screen, "join-name") == "WALL-A-10"
        for name, note in (
            ("WALL-A-3", "There is a node WALL-A-3 already: delete it first"),
            ("wall-a-3", "wall-a-3.node-password.k3s goes with it"),
            ("kellerkind", "Outside of the scheme M-O-<n>, WALL-A-<n>."),
            ("M-O-9", "The name says server, the role is agent."),
            ("WALL-A-007", "Outside of the scheme"),
        ):
            await fill(screen, "join-name", name)
            assert note in screen.page("join-note")
        for name, fault in (
            ("", "The name '' can't be used"),
            ("wall_a_3", "The name 'wall_a_3' can't be used"),
            ("w" * 64, "64 characters are too many for a host name (63 at most)"),
        ):
            await fill(screen, "join-name", name)
            await screen.press("ctrl+n")
            await screen.sees(fault)
            assert stage_of(screen) == "choose"
        # A name of one's own survives the change of the role.
        await fill(screen, "join-name", "kellerkind")
        await pick(screen, "join-role", 1)
        assert field(screen, "join-name") == "kellerkind"
        assert is_untouched(axiom)


def stage_of(screen: Screen) -> str:
    page = screen.app.screen
    assert isinstance(page, WizardScreen)
    return page.stage


async def test_a_gap_is_warned_about_and_upper_case_is_folded(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom) as screen:
        await choose(screen)
        await fill(screen, "join-name", "Wall-A-6")
        assert screen.page("join-note") == ""
        checks = await to_check(screen)
        assert "▲ warn WALL-A-6 is free, but below the highest in use" in checks
        assert "the node will be wall-a-6" in checks


async def test_a_name_that_is_taken_does_not_come_to_a_plan(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom) as screen:
        await choose(screen)
        await fill(screen, "join-name", "WALL-A-3")
        checks = await to_check(screen)
        assert checks.partition(FIRST_FAIL)[2].startswith("WALL-A-3 is already a node of this cluster")
        assert "drain it, then `kubectl delete node wall-a-3`" in checks
        assert screen.app.screen.query_one("#next", Button).disabled
        await screen.press("ctrl+b")
        await stage(screen, "choose")
        await fill(screen, "join-name", "WALL-A-10")
        await screen.press("ctrl+n")
        await stage(screen, "check")
        await screen.press("ctrl+n")
        await stage(screen, "plan")
        assert "Join WALL-A-10 as agent" in said_on(screen, "plan-text")


async def test_a_host_that_is_named_by_the_scheme_keeps_its_name(axiom: EmbeddedAxiom) -> None:
    axiom.hosts[NEWCOMER].rename("WALL-A-12")
    async with at_home(axiom) as screen:
        await screen.until(lambda: "WALL-A-12" in devices(screen), "for the new name")
        await choose(screen)
        hosts = screen.app.screen.query_one("#join-host", OptionList)
        while not chosen(screen).startswith("wall-a-12"):
            assert hosts.highlighted is not None
            await screen.press("down")
        assert field(screen, "join-name") == "WALL-A-12"
        assert screen.page("join-note") == ""


# -- other choices -----------------------------------------------------------------------------------------


async def test_public_address(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom) as screen:
        await choose(screen)
        await pick(screen, "join-public", 2)
        await screen.press("ctrl+n")
        await screen.sees("Nothing is no public address.")
        await fill(screen, "join-address", "192.168.1.7")
        await screen.press("ctrl+n")
        await screen.sees("192.168.1.7 is no public address.")
        await fill(screen, "join-address", "203.0.113.300")
        await screen.press("ctrl+n")
        await screen.sees("203.0.113.300 is no public address.")
        await fill(screen, "join-address", "116.203.77.99")
        checks = await to_check(screen)
        assert "116.203.77.99" in checks
        await screen.press("ctrl+b")
        await stage(screen, "choose")
        await pick(screen, "join-public", 1)
        await screen.press("ctrl+n")
        await stage(screen, "check")
        await screen.press("ctrl+n")
        await stage(screen, "plan")
        plan = said_on(screen, "plan-text")
        assert "in the pool internal" in plan
        assert "116.203.77" not in plan.partition("Steps")[2]


async def test_enter_leads_through_the_fields(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom) as screen:
        await choose(screen)
        assert focus(screen) == "join-host"
        await screen.press("enter")
        assert focus(screen) == "join-role"
        await screen.press("tab")
        assert focus(screen) == "join-name"
        await screen.press("enter")
        assert focus(screen) == "join-public"
        await screen.press("shift+tab", "shift+tab", "shift+tab", "end", "enter")
        assert focus(screen) == "join-other"
        await screen.press("ctrl+n")
        await screen.sees("Choose a device, or type the name or address of a host.")


def focus(screen: Screen) -> str:
    return (screen.app.focused.id or "") if screen.app.focused is not None else ""


async def test_the_first_server_of_a_new_cluster_wants_a_version(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom) as screen:
        await choose(screen)
        assert not screen.app.screen.query_one("#join-version").display
        await pick(screen, "join-role", 2)
        assert field(screen, "join-version") == "v1.33.4+k3s1"
        await fill(screen, "join-version", "1.33")
        await screen.press("ctrl+n")
        await screen.sees("1.33 is no version of K3s; v1.33.4+k3s1 would be one.")
        await fill(screen, "join-version", "v1.33.4+k3s1")
        await fill(screen, "join-name", "M-O-7")
        await screen.press("ctrl+n")
        await give(screen)
        await stage(screen, "check")
        await screen.press("ctrl+n")
        await stage(screen, "plan")
        plan = said_on(screen, "plan-text")
        assert "Found the cluster api.axiom.technat.ch on M-O-7" in plan
        assert "cluster-init" in plan
        assert "helm install cilium" in plan
        await screen.press("ctrl+n")
        await screen.sees('Type "M-O-7" to apply this plan.')
        assert is_untouched(axiom)


# -- passwords ---------------------------------------------------------------------------------------------


async def test_a_wrong_password_is_asked_again(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom) as screen:
        await choose(screen)
        await screen.press("ctrl+n")
        first = await give(screen, "eight lobsters sing")
        assert "refused" not in first
        again = await give(screen)
        assert "The one before was refused." in again
        await give_if_asked(screen, "check")
        assert "✗" not in said_on(screen, "check-text")
        # It is known now: nobody is asked a second time.
        await screen.press("ctrl+b", "ctrl+n")
        await stage(screen, "check")
        assert "✗" not in said_on(screen, "check-text")


async def test_no_password_is_a_fail_that_says_so(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom, SMALL) as screen:
        await choose(screen)
        await screen.press("ctrl+n")
        await shown(screen, SecretDialog)
        await screen.press("escape")
        await stage(screen, "check")
        checks = said_on(screen, "check-text")
        assert checks.partition(FIRST_FAIL)[2].startswith("sudo on ")
        assert "none was given. (rule sudo, which can't be overridden)" in checks
        assert "and none was given" in screen.page("check")  # in sight, not scrolled away
        assert screen.app.screen.query_one("#next", Button).disabled
        assert focus(screen) == "check"  # so that enter does nothing that is not said
        await screen.press("enter")
        await stage(screen, "check")
        await screen.press("ctrl+b")
        await stage(screen, "choose")
        assert "✗" not in await to_check(screen)
        assert is_untouched(axiom)


async def test_a_user_without_sudo(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom) as screen:
        checks = await check_of(screen, "no-sudo")
        assert checks.partition(FIRST_FAIL)[2].startswith("technat may not use sudo on")
        assert "usermod -aG sudo technat" in checks


# -- Tailscale's check mode --------------------------------------------------------------------------------


async def test_check_mode(axiom: EmbeddedAxiom, monkeypatch: pytest.MonkeyPatch) -> None:
    host = axiom.hosts[NEWCOMER]
    host.fault("host-check-mode")
    opened: list[str] = []
    monkeypatch.setattr(AxiomApp, "open_url", lambda app, url, *, new_tab=True: opened.append(url))
    async with at_home(axiom, SMALL) as screen:
        await choose(screen)
        await screen.press("ctrl+n")
        await shown(screen, LoginDialog)
        await screen.sees("Tailscale SSH wants you to log in", "https://login.tailscale.com/a/")
        dialog = screen.app.screen
        url = screen.page("login-url").strip("│ ")
        left = screen.page("login-left")
        assert "it waits 9:5" in left or "it waits 10:00" in left
        await screen.press("o")
        assert opened == [url]
        await screen.press("c")
        assert screen.app.clipboard == url
        await screen.until(lambda: screen.page("login-left") != left, "for the time to move")
        # Hidden, it can be shown again, and the wizard says that it waits.
        await screen.press("escape")
        await screen.sees("waits for your login (ctrl+l shows it)")
        await screen.press("ctrl+l")
        await shown(screen, LoginDialog)
        assert screen.page("login-url").strip("│ ") == url
        assert screen.app.screen is not dialog
        host.approve()
        await give(screen)  # the dialog has closed by itself, and sudo asks
        await give_if_asked(screen, "check")
        assert "✗" not in said_on(screen, "check-text")
        assert screen.app.login is None
        assert not any(url in line for line in screen.app.messages)


async def test_check_mode_below_another_dialog(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER_ARM]
    host.fault("host-check-mode")
    async with at_home(axiom) as screen:
        await screen.press("G")
        await choose(screen)
        await screen.press("ctrl+n")
        await shown(screen, LoginDialog)
        await screen.press("ctrl+p")
        await screen.until(lambda: not isinstance(screen.app.screen, LoginDialog), "for the palette")
        host.approve()
        await screen.until(lambda: screen.app.login is None, "for the login")
        await give(screen)  # on top of the palette
        await screen.until(lambda: isinstance(screen.app.screen, CommandPalette), "for the palette")
        await screen.press("escape")
        await give_if_asked(screen, "check")


async def test_a_login_that_is_left_is_ended(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    host.fault("host-check-mode")
    async with at_home(axiom) as screen:
        await choose(screen)
        await screen.press("ctrl+n")
        await shown(screen, LoginDialog)
        await screen.press("escape")
        await screen.sees_no("Tailscale SSH wants")
        await screen.press("escape")
        await screen.said("Left “Join a node”: nothing was changed.")
        server = axiom.hosts._server
        await screen.until(lambda: not server._connections, "for the login to end")
        assert is_untouched(axiom)


async def test_nobody_logs_in(axiom: EmbeddedAxiom) -> None:
    axiom.hosts[NEWCOMER].fault("host-check-mode")
    async with at_home(axiom, ssh="login_timeout: 2s") as screen:
        await choose(screen)
        await screen.press("ctrl+n")
        await shown(screen, LoginDialog)
        await stage(screen, "check")  # the page has closed by itself
        checks = said_on(screen, "check-text")
        assert checks.startswith("Nobody logged in at the URL")
        assert "a new URL comes" in checks


async def test_the_tailnet_refuses(axiom: EmbeddedAxiom) -> None:
    axiom.hosts[NEWCOMER].fault("host-policy")
    async with at_home(axiom) as screen:
        await choose(screen)
        await screen.press("ctrl+n")
        await stage(screen, "check")
        checks = said_on(screen, "check-text")
        assert "tailnet policy does not permit you to SSH as user" in checks
        assert "Look at the SSH rules of the tailnet's policy" in checks
        assert focus(screen) == "check"


# -- host keys ---------------------------------------------------------------------------------------------


async def accept_key(screen: Screen) -> None:
    await shown(screen, HostKeyDialog)
    await press_dialog_button(screen, "accept")


async def press_dialog_button(screen: Screen, name: str) -> None:
    await reach(screen, name)
    await screen.press("enter")


async def check_of(screen: Screen, host: str) -> str:
    """What Check says of a host with an ordinary SSH server that nobody knows yet."""
    await choose(screen, host)
    await screen.press("ctrl+n")
    await accept_key(screen)
    assert f"Password of technat on {host}" in await give(screen)
    await give(screen)
    await stage(screen, "check")
    return said_on(screen, "check-text")


async def test_an_unknown_host_key_is_refused_unless_it_is_accepted(axiom: EmbeddedAxiom) -> None:
    known = axiom.hosts.known_hosts
    async with at_home(axiom, SMALL) as screen:
        await choose(screen, "no-tailscale")
        await screen.press("ctrl+n")
        await shown(screen, HostKeyDialog)
        text = screen.text
        assert "Nobody vouches for the host key of" in text
        assert "SHA256:" in text
        assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in text
        assert focus(screen) == "refuse"
        await screen.press("enter")
        await stage(screen, "check")
        refused = said_on(screen, "check-text")
        assert "host key" in refused
        assert "SHA256:" in refused
        assert "✓" not in refused
        assert known.read_text() == ""
        await screen.press("ctrl+b")
        await stage(screen, "choose")
        await screen.press("ctrl+n")
        await shown(screen, HostKeyDialog)
        await screen.press("escape")  # refuses too
        await stage(screen, "check")
        assert known.read_text() == ""
        await screen.press("ctrl+b")
        await stage(screen, "choose")
        await screen.press("ctrl+n")
        await accept_key(screen)
        await give(screen)
        await give(screen)
        await stage(screen, "check")
        assert known.read_text().startswith("no-tailscale ssh-ed25519 ")
        # Known from now on.
        await screen.press("ctrl+b")
        await stage(screen, "choose")
        await screen.press("ctrl+n")
        await give(screen)
        await stage(screen, "check")


async def test_a_changed_host_key_is_refused_with_both_fingerprints(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom) as screen:
        await check_of(screen, "no-tailscale")
        axiom.hosts["no-tailscale"].fault("host-key-changed")
        before = axiom.hosts.known_hosts.read_text()
        await screen.press("ctrl+b")
        await stage(screen, "choose")
        await screen.press("ctrl+n")
        await stage(screen, "check")
        checks = said_on(screen, "check-text")
        assert checks.count("SHA256:") == 2
        assert "ssh-keygen -R" in checks
        assert axiom.hosts.known_hosts.read_text() == before
        assert not isinstance(screen.app.screen, HostKeyDialog)


async def test_a_host_key_that_the_tailnet_does_not_vouch_for(axiom: EmbeddedAxiom) -> None:
    axiom.hosts[NEWCOMER].fault("host-key-changed")
    async with at_home(axiom) as screen:
        await choose(screen)
        await screen.press("ctrl+n")
        await stage(screen, "check")
        checks = said_on(screen, "check-text")
        assert checks.count("SHA256:") == 2
        assert screen.app.screen.query_one("#next", Button).disabled
        assert is_untouched(axiom)


# -- hosts that are not fit --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("old-os", ("The system is Debian GNU/Linux 10 (buster)", "The kernel 4.19")),
        ("full-disk", ("are free on /", "(rule disk)")),
        ("no-tailscale", ("Tailscale is not installed", "sudo tailscale up --ssh", "(rule tailscale)")),
    ],
)
async def test_what_is_wrong_stands_first(axiom: EmbeddedAxiom, host: str, words: tuple[str, ...]) -> None:
    async with at_home(axiom, SMALL) as screen:
        checks = await check_of(screen, host)
        assert FIRST_FAIL in checks
        for text in words:
            assert text in checks
            assert checks.index(text) < checks.index("✓ pass")
        # The first page of it is in sight, and one can type at once what is to be overridden.
        assert "✗ fail" in screen.page("check")
        assert focus(screen) == "override"
        await screen.press("pagedown", "pagedown", "pagedown", "pagedown")
        await screen.sees("The release v1.33.4+k3s1 can be downloaded.")
        await screen.press("escape")
        await screen.said("Left “Join a node”: nothing was changed.")


async def test_a_fail_is_overridden_by_name_and_the_journal_keeps_it(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    host.furnish()
    host.files.free = 2 << 30
    async with at_home(axiom) as screen:
        await choose(screen)
        checks = await to_check(screen)
        assert "2.0 GiB are free on /" in checks
        assert "(rule disk)" in checks
        await screen.type("yes")
        await screen.press("enter")
        await screen.sees("No failed rule is named 'yes'.")
        assert screen.app.screen.query_one("#next", Button).disabled
        await fill(screen, "override", "disk")
        await screen.press("enter")
        await screen.until(lambda: "(overridden)" in said_on(screen, "check-text"), "for the override")
        await stage(screen, "check")
        await screen.press("ctrl+n")
        await stage(screen, "plan")
        assert "overridden: disk: Only 2.0 GiB" in said_on(screen, "plan-text")
        assert "✓ Done." in await to_result(screen)
    (entry,) = entries()
    assert entry.choices["overridden"] == ["disk"]


# -- what happens on the way -------------------------------------------------------------------------------


async def test_a_connection_that_drops_and_the_way_on(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    async with at_home(axiom) as screen:
        await choose(screen)
        await to_plan(screen)
        host.fault("host-slow", delay=1)  # so that one sees it run
        await screen.press("ctrl+n")
        await screen.sees("▶ running")
        host.fault("host-drop", delay=0, times=1)
        host.heal("host-slow")
        await stage(screen, "result")
        result = said_on(screen, "result-text")
        assert "✗ Failed." in result
        assert "not reached" in result.partition("Left to do")[2]
        await screen.press("enter")
        await screen.press("6")
        await screen.sees("✗ failed", "r resumes it.")
        await screen.press("r")
        await stage(screen, "plan")
        await screen.press("ctrl+n")
        await give_if_asked(screen, "result")
        result = said_on(screen, "result-text")
        assert "✓ Done." in result
        assert "(in an earlier run of this plan)" in result
        await screen.press("enter", "1")
        await screen.sees("WALL-A-10")
    assert labels(axiom, "wall-a-10") == ("true", "external")


async def test_a_host_that_is_slow_is_waited_for_in_sight(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    async with at_home(axiom, SMALL) as screen:
        host.fault("host-slow", delay=3)
        await choose(screen)
        await screen.press("ctrl+n")
        await screen.sees("Looking … (")
        await screen.sees_no("Looking … (0s)")
        host.heal()
        await give_if_asked(screen, "check")


async def test_an_agent_that_never_gets_ready(axiom: EmbeddedAxiom) -> None:
    """The deadline ends it; what stands is said; undo takes it back and says what stays."""
    host = axiom.hosts[NEWCOMER]
    host.fault("host-never-ready")
    async with at_home(axiom, join="install_timeout: 20s, ready_timeout: 3s") as screen:
        await choose(screen)
        await to_plan(screen)
        result = await to_result(screen)
        assert "✗ Failed." in result
        left = result.partition("Left to do")[2]
        assert "Ready" in left
        assert "3 s" in left or "3s" in left
        assert node(axiom, "wall-a-10") is not None
        await press_button(screen, "undo")
        await stage(screen, "plan")
        plan = said_on(screen, "plan-text")
        assert "Undo: join WALL-A-10 as agent" in plan or "undo: join WALL-A-10" in plan.lower()
        assert "k3s-agent-uninstall.sh" in plan
        assert plan.index("delete node wall-a-10") > 0
        await screen.press("ctrl+n")
        await screen.sees('Type "WALL-A-10" to apply this plan.')
        await screen.type("WALL-A-10")
        await screen.press("ctrl+n")
        await give_if_asked(screen, "result")
        await stage(screen, "result")
        assert "✓ Done." in said_on(screen, "result-text")
        await screen.press("enter")
        await screen.until(lambda: stage_of(screen) == "result", "for the first account")
    assert node(axiom, "wall-a-10") is None
    assert host.files.find("/usr/local/bin/k3s") is None
    assert host.files.find("/etc/rancher/k3s/config.yaml.d/10-axiom.yaml") is None
    assert host.name == NEWCOMER
    assert [entry.undone for entry in entries()].count(True) == 1


async def give_if_asked(screen: Screen, wanted: str) -> None:
    """Go on until the page is reached; whatever asks for a password on the way gets it."""

    def is_there() -> bool:
        page = screen.app.screen
        return isinstance(page, SecretDialog) or (isinstance(page, WizardScreen) and page.stage == wanted)

    await screen.until(is_there, f"for {wanted}")
    while isinstance(screen.app.screen, SecretDialog):
        await give(screen)
        await screen.until(is_there, f"for {wanted}")


async def test_ctrl_c_stops_between_two_steps(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    async with at_home(axiom) as screen:
        await choose(screen)
        await to_plan(screen)
        host.fault("host-slow", delay=1)
        await screen.press("ctrl+n")
        await stage(screen, "apply")
        await screen.sees("▶ running")
        await screen.press("ctrl+c")
        await shown(screen, ChoiceScreen)
        await screen.press("down", "enter")
        await stage(screen, "result")
        result = said_on(screen, "result-text")
        assert "○ Cancelled." in result
        # Where nothing was begun it is the whole plan that is left, and nothing is said of parts.
        assert ("Left to do" in result) == ("Changed" in result or "as said above" in result)
        host.heal()
        await screen.press("enter", "6")
        await screen.sees("○ cancelled", "r resumes it.")
        await screen.press("r")
        await stage(screen, "plan")
        await screen.press("ctrl+n")
        await give_if_asked(screen, "result")
        assert "✓ Done." in said_on(screen, "result-text")


async def test_quitting_asks_and_a_second_wizard_is_refused(axiom: EmbeddedAxiom) -> None:
    host = axiom.hosts[NEWCOMER]
    async with at_home(axiom) as screen:
        await choose(screen)
        await to_plan(screen)
        host.fault("host-slow", delay=2)
        await screen.press("ctrl+n")
        await stage(screen, "apply")
        await screen.sees("▶ running")
        # On another screen meanwhile: no second plan beside it.
        await screen.press("2")
        await screen.press("l")
        await screen.said("“Join a node” is running: one plan at a time.")
        await screen.command("join")
        assert not isinstance(screen.app.screen, WizardScreen)
        await screen.press("q")
        await shown(screen, ChoiceScreen)
        await screen.sees("“Join a node” is running", "Stay", "Stop the plan after this step")
        await screen.press("escape")
        await screen.press("1")
        await stage(screen, "apply")
        await screen.press("q")
        await shown(screen, ChoiceScreen)
        await screen.press("down", "enter")
        await stage(screen, "result")
        assert "○ Cancelled." in said_on(screen, "result-text")


@pytest.mark.parametrize("at", ["choose", "check", "plan"])
async def test_leaving_changes_nothing(axiom: EmbeddedAxiom, at: str) -> None:
    async with at_home(axiom) as screen:
        await choose(screen)
        if at == "check":
            await to_check(screen)
        elif at == "plan":
            await to_plan(screen)
        await screen.press("escape")
        await screen.said("Left “Join a node”: nothing was changed.")
        assert is_untouched(axiom)
        server = axiom.hosts._server
        await screen.until(lambda: not server._connections, "for the logins to end")


async def test_the_host_is_gone_between_plan_and_apply(axiom: EmbeddedAxiom) -> None:
    async with at_home(axiom, ssh="connect_timeout: 1s") as screen:
        await choose(screen)
        await to_plan(screen)
        axiom.hosts[NEWCOMER].fault("host-refuse")
        for connection in list(axiom.hosts._server._connections):
            connection.cut()
        await screen.press("ctrl+n")
        await stage(screen, "result")
        result = said_on(screen, "result-text")
        assert "✗ Refused: nothing was changed." in result
        # Where nothing was begun it is the whole plan that is left, and nothing is said of parts.
        assert ("Left to do" in result) == ("Changed" in result or "as said above" in result)
        assert is_untouched(axiom)


# -- impatience --------------------------------------------------------------------------------------------


async def test_keys_that_come_twice_answer_once(axiom: EmbeddedAxiom) -> None:
    """Two keys at once close one dialog, and nothing below it."""
    async with at_home(axiom) as screen:
        await choose(screen)
        await screen.press("ctrl+n")
        await shown(screen, SecretDialog)
        dialog = screen.app.screen
        given = dialog.query_one(Input)
        given.value = PASSWORD
        for _ in range(3):
            given.post_message(Input.Submitted(given, PASSWORD))
        await screen.until(lambda: screen.app.screen is not dialog, "for the dialog to close")
        await give_if_asked(screen, "check")
        assert "✗" not in said_on(screen, "check-text")
        assert len(screen.app.screen_stack) == 2


async def test_quitting_while_a_password_is_asked(axiom: EmbeddedAxiom) -> None:
    """The logins are lost before Apply, and the password is not known any more. The run ends once the
    question is answered, with whatever."""
    async with at_home(axiom) as screen:
        await choose(screen)
        await to_plan(screen)
        for connection in list(axiom.hosts._server._connections):
            connection.cut()
        screen.app.interaction._sudo.clear()
        await screen.press("ctrl+n")
        await shown(screen, SecretDialog)
        await screen.press("ctrl+c")
        await shown(screen, ChoiceScreen)
        await screen.press("down", "enter")
        await shown(screen, SecretDialog)
        await screen.press("escape")
        await stage(screen, "result")
        assert "○ Cancelled." in said_on(screen, "result-text")
        assert is_untouched(axiom)


async def test_what_has_changed_since_the_plan_is_shown(axiom: EmbeddedAxiom) -> None:
    """The new plan comes with what is different in it; it is applied only when one asks for it again."""
    host = axiom.hosts[NEWCOMER]
    async with at_home(axiom, SMALL) as screen:
        await choose(screen)
        await to_plan(screen)
        host.name = "somebody-was-here"
        await screen.press("ctrl+n")
        await screen.sees("The world has changed since the plan was made")
        await stage(screen, "plan")
        plan = said_on(screen, "plan-text")
        assert "(it is somebody-was-here)" in plan
        assert not entries()
        assert "✓ Done." in await to_result(screen)
    assert labels(axiom, "wall-a-10") == ("true", "external")
