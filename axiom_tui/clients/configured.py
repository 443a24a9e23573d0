"""Clients of the outside systems as the settings want them: one place for what each needs to know.

Each client is imported when it is asked for, since hardly a command needs more than one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from axiom_tui.config import DnsProvider, Settings

if TYPE_CHECKING:
    from axiom_tui.clients.infomaniak import Infomaniak
    from axiom_tui.clients.ssh_values import SshOptions
    from axiom_tui.clients.tailscale_control import ControlApi

#: The port that ~/.ssh/config may still change; any other one in the settings wins over it.
USUAL_PORT = 22


def control_api(settings: Settings) -> ControlApi | None:
    """Tailscale's control API with the credentials of the settings; None if there are none."""
    control = settings.tailscale.control
    if not control.configured:
        return None
    from axiom_tui.clients.tailscale_control import ApiToken, ControlApi, OAuthClient, secret_from_file

    timeout = settings.tailscale.timeout.total_seconds()
    if control.token_file is not None:
        token = ApiToken(secret_from_file(control.token_file))
        return ControlApi(control.url, token, settings.tailscale.tailnet, timeout)
    assert control.oauth.secret_file is not None
    client = OAuthClient(control.oauth.client_id, secret_from_file(control.oauth.secret_file))
    return ControlApi(control.url, client, settings.tailscale.tailnet, timeout)


def dns_records(settings: Settings) -> Infomaniak | None:
    """The DNS provider's API with the token of the settings; None where records are set by hand."""
    dns = settings.dns
    if dns.provider is not DnsProvider.INFOMANIAK or dns.token_file is None:
        return None
    from axiom_tui.clients.infomaniak import Infomaniak
    from axiom_tui.clients.secret_sources import read_secret

    reference = f"file:{dns.token_file}"
    return Infomaniak(lambda: read_secret(reference), dns.url)


def ssh_options(settings: Settings) -> SshOptions:
    """How hosts are logged in to."""
    from axiom_tui.clients.secret_sources import read_secret
    from axiom_tui.clients.ssh_values import SshOptions

    asked = settings.ssh
    reference = asked.sudo_password
    return SshOptions(
        config_file=asked.config_file,
        known_hosts=asked.known_hosts,
        key_files=asked.key_files,
        connect_timeout=asked.connect_timeout.total_seconds(),
        login_timeout=asked.login_timeout.total_seconds(),
        keepalive=asked.keepalive.total_seconds(),
        sudo_password=None if reference is None else lambda: read_secret(str(reference)),
    )


def ssh_port(settings: Settings) -> int:
    """0 leaves it to ~/.ssh/config."""
    return 0 if settings.ssh.port == USUAL_PORT else settings.ssh.port


def ssh_arguments(settings: Settings, host: str) -> tuple[str, ...]:
    """For the system's own ssh, so that it goes where this program's logins go; its target comes last.

    Only what differs from its defaults: with -F it no longer reads the system-wide file (ssh(1)).
    """
    asked, usual = settings.ssh, Settings().ssh
    arguments: list[str] = []
    if asked.config_file != usual.config_file:
        arguments += ["-F", str(asked.config_file)]  # it also says which hosts are known
    elif asked.known_hosts != usual.known_hosts:
        arguments += ["-o", f"UserKnownHostsFile={asked.known_hosts}"]
    for file in asked.key_files:
        arguments += ["-i", str(file)]
    if port := ssh_port(settings):
        arguments += ["-p", str(port)]
    return (*arguments, "--", f"{asked.user}@{host}")
