"""Stand-ins for systemd, K3s, curl and Tailscale on a real host: they record each call and its environment.

They live in the mount namespace of a test's sshd, on a file system of their own; the machine is not changed.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.integration.sshd import Sshd

VERSION = "v1.33.4+k3s1"
TOKEN = f"K10{'ab' * 32}::abcdef.0123456789abcdef"
SERVER_TOKEN = f"K10{'ab' * 32}::server:0123456789abcdef0123456789abcdef"

#: What the stand-in for the install script leaves behind, as the real one does.
INSTALL_SCRIPT = r"""#!/bin/sh
set -e
echo "install $INSTALL_K3S_VERSION $INSTALL_K3S_EXEC $INSTALL_K3S_SKIP_START" >> /run/stand/log
env | sort >> /run/stand/environment
[ "$INSTALL_K3S_SKIP_START" = true ]
echo "[INFO]  Using $INSTALL_K3S_VERSION as release"
unit=k3s; [ "$INSTALL_K3S_EXEC" = server ] || unit=k3s-$INSTALL_K3S_EXEC
cp /run/stand/k3s /usr/local/bin/k3s
echo "$INSTALL_K3S_VERSION" > /run/stand/version
mkdir -p /etc/systemd/system
echo "[Service]" > /etc/systemd/system/$unit.service
cat > /usr/local/bin/$unit-uninstall.sh <<END
#!/bin/sh
echo "uninstall $unit" >> /run/stand/log
rm -rf /etc/systemd/system/$unit.service /etc/rancher/k3s /usr/local/bin/k3s /run/stand/version
rm -f /usr/local/bin/$unit-uninstall.sh
END
chmod 755 /usr/local/bin/$unit-uninstall.sh
echo "[INFO]  systemd: Enabling $unit unit"
"""

_RECORD = 'echo "${0##*/} $*" >> /run/stand/log\nenv | sort >> /run/stand/environment\n'

_PROGRAMS = {
    "hostnamectl": '[ "$1" = set-hostname ] && printf "%s\\n" "$2" > /run/stand/hostname',
    "modprobe": 'mkdir -p "/sys/module/$1"',
    "sysctl": "echo 1 > /run/stand/ip_forward",
    "curl": """
while [ $# -gt 0 ]; do
  case $1 in -o) target=$2; shift ;; esac
  shift
done
cp /run/stand/install-script "$target" """,
    # Up at the third look (or that of /run/stand/needed), and never as long as there is a file that says so.
    "systemctl": r"""
command=$1
for unit; do :; done
state=/run/stand/unit.$unit
case $command in
  enable) exit 0 ;;
  disable) echo inactive > "$state" ;;
  restart) echo activating > "$state"; echo 0 > /run/stand/looks
    n=$(wc -l < /run/stand/journal); echo "$n" > /run/stand/begun
    echo 'level=info msg="Starting k3s"' >> /run/stand/journal
    if [ -e /run/stand/trouble ]; then cat /run/stand/trouble >> /run/stand/journal; fi ;;
  is-active) if [ -e "$state" ]; then cat "$state"; else echo inactive; exit 3; fi ;;
  show)
    if [ -e "$state" ] && [ "$(cat "$state")" = activating ] && [ ! -e /run/stand/trouble ]; then
      looks=$(($(cat /run/stand/looks) + 1)); echo $looks > /run/stand/looks
      if [ $looks -ge "$(cat /run/stand/needed)" ]; then echo active > "$state"; fi
    fi
    echo "ActiveState=$(if [ -e "$state" ]; then cat "$state"; else echo inactive; fi)"
    echo SubState=x; echo NRestarts=0 ;;
esac""",
    "journalctl": r"""
after=0; lines=all
for word; do case $word in --after-cursor=*) after=${word#--after-cursor=line;} ;; 0) lines=0 ;; esac; done
[ $lines = 0 ] || tail -n +$((after + 1)) /run/stand/journal
echo "-- cursor: line;$(wc -l < /run/stand/journal | tr -d ' ')" """,
}
_K3S = r"""
case $1 in
  --version) echo "k3s version $(cat /run/stand/version) (abc)"; echo "go version go1.26" ;;
  token) cat /run/stand/token ;;
  kubectl) echo ok ;;
esac"""

_SETUP = r"""set -eu
mkdir -p /run/stand /srv/etc
cp -a /etc/. /srv/etc/
mount --bind /srv/etc /etc
mount -t tmpfs tmpfs /usr/local/bin
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/sudo /etc/modules-load.d /etc/sysctl.d
echo fresh-host > /run/stand/hostname
mount -t tmpfs tmpfs /sys/module
: > /run/stand/journal
echo 3 > /run/stand/needed
: > /run/stand/log
: > /run/stand/environment
echo 0 > /run/stand/ip_forward
mount --bind /run/stand/hostname /proc/sys/kernel/hostname
mount --bind /run/stand/ip_forward /proc/sys/net/ipv4/ip_forward
"""


class Stage:
    """The stand-ins on one host, and what they recorded."""

    def __init__(self, sshd: Sshd) -> None:
        self.sshd = sshd
        self._inside("sh", "-c", _SETUP)
        for name, body in _PROGRAMS.items():
            self.put(f"/usr/local/bin/{name}", f"#!/bin/sh\n{_RECORD}{body}\n", 0o755)
        self.put("/run/stand/k3s", f"#!/bin/sh\n{_RECORD}{_K3S}\n", 0o755)
        self.put("/run/stand/install-script", INSTALL_SCRIPT, 0o644)

    def make_server(self) -> None:
        """K3s is there already, and can make tokens."""
        self.put("/usr/local/bin/k3s", f"#!/bin/sh\n{_RECORD}{_K3S}\n", 0o755)
        self.put("/run/stand/token", f"{TOKEN}\n", 0o600)
        self.put("/var/lib/rancher/k3s/server/token", f"{SERVER_TOKEN}\n", 0o600)

    def path(self, path: str) -> Path:
        """A path of the host, as this process sees it."""
        return self.sshd.root / path.lstrip("/")

    def put(self, path: str, text: str, mode: int) -> None:
        where = self.path(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
        where.chmod(mode)

    def text(self, path: str) -> str:
        return self.path(path).read_text()

    @property
    def calls(self) -> list[str]:
        """What was called, in order."""
        return self.text("/run/stand/log").splitlines()

    @property
    def environment(self) -> str:
        """The environments of all calls."""
        return self.text("/run/stand/environment")

    def _inside(self, *command: str) -> None:
        entered = ["nsenter", "-t", str(self.sshd.pid), "-m", "-p", "--", *command]
        subprocess.run(entered, check=True, capture_output=True, timeout=60)
