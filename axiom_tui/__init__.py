"""axiom-tui: a terminal UI for the admin of Axiom, a K3s fleet that talks over Tailscale."""

__version__ = "0.1.0"
