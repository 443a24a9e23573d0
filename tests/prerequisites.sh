#!/bin/sh
# Installs the programs that the tests against real parts use (kubectl, sshd, sudo), where that can be done
# without a question: on Debian and its kin, as root or with a sudo that asks no password. Nothing is started
# or enabled. AXIOM_TUI_TEST_INSTALL=no leaves the machine alone. Without a program its tests are skipped.
set -eu

missing=""
packages=""
need() { # need <program> <package>
    if ! PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; then
        missing="$missing $1"
        packages="$packages $2"
    fi
}
need kubectl kubernetes-client
need sshd openssh-server
need sudo sudo
[ -n "$missing" ] || exit 0

leave() {
    echo "Tests that need$missing will be skipped: $1." >&2
    exit 0
}

[ "${AXIOM_TUI_TEST_INSTALL:-yes}" != no ] || leave "AXIOM_TUI_TEST_INSTALL=no"
command -v apt-get >/dev/null 2>&1 || leave "there is no apt-get to install them with"
if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n env"
else
    leave "installing them needs root"
fi

log="$(mktemp)"
guard=/usr/sbin/policy-rc.d
made_guard=no
clean_up() {
    rm -f "$log"
    [ "$made_guard" = no ] || $as_root rm -f "$guard"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Debian asks this script before it starts a service: 101 means "do not".
if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$guard" >/dev/null
    made_guard=yes
    $as_root chmod 755 "$guard"
fi

echo "Installing for the tests:$packages." >&2
apt() { $as_root DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -q -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1; }
apt update || true # one broken source need not matter; the installation tells
for package in $packages; do
    if ! apt install -y --no-install-recommends "$package"; then
        tail -n 3 "$log" >&2
        echo "$package could not be installed; the tests that need it will be skipped." >&2
    elif [ "$package" = openssh-server ] && command -v systemctl >/dev/null 2>&1; then
        # Not started now, and not at the next boot either.
        $as_root systemctl disable ssh.service ssh.socket >>"$log" 2>&1 || true
    fi
done
