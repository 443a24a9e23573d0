"""What https://get.k3s.io gives to the simulated hosts: a script that takes the variables of the real one and
leaves the same files behind (facts: k3s-and-backups.md 1.1 to 1.3; written anew, for `shell` to run)."""

from __future__ import annotations

import hashlib

INSTALL_SCRIPT = r"""#!/bin/sh
# Installs K3s on a simulated host.
set -e

info() { echo "[INFO]  $*"; }
warn() { echo "[WARN]  $*" >&2; }
fail() { echo "[ERROR]  $*" >&2; exit 1; }

RELEASES=${INSTALL_K3S_ARTIFACT_URL:-https://github.com/k3s-io/k3s/releases/download}
CHANNELS=${INSTALL_K3S_CHANNEL_URL:-https://update.k3s.io/v1-release/channels}

choose_role() {
    case "$1" in
        server|agent) role=$1; shift ;;
        -*|"") if [ -n "$K3S_URL" ]; then role=agent; else role=server; fi ;;
        *) role=$1; shift ;;
    esac
    if [ "$role" = agent ] && [ -n "$K3S_URL" ]; then
        case "$K3S_URL" in
            https://*) ;;
            *) fail "Only https:// URLs are supported for K3S_URL (have $K3S_URL)" ;;
        esac
        if [ -z "$K3S_TOKEN" ] && [ -z "$K3S_TOKEN_FILE" ]; then
            why="because K3S_URL is defined, but K3S_TOKEN or K3S_TOKEN_FILE is not defined."
            fail "Defaulted k3s exec command to 'agent' $why"
        fi
    fi
    flags=
    for flag in "$@"; do
        flags="$flags \\
        '$flag'"
    done
    name=k3s
    [ "$role" = server ] || name=k3s-$role
    [ -z "$INSTALL_K3S_NAME" ] || name=k3s-$INSTALL_K3S_NAME
    bin=${INSTALL_K3S_BIN_DIR:-/usr/local/bin}
    units=${INSTALL_K3S_SYSTEMD_DIR:-/etc/systemd/system}
    unit=$units/$name.service
    uninstall=k3s-uninstall.sh
    [ "$role" = server ] || uninstall=$name-uninstall.sh
}

choose_architecture() {
    case "$(uname -m)" in
        amd64|x86_64) architecture=amd64 suffix= ;;
        arm64|aarch64) architecture=arm64 suffix=-arm64 ;;
        *) fail "Unsupported architecture $(uname -m)" ;;
    esac
}

choose_version() {
    if [ -n "$INSTALL_K3S_VERSION" ]; then
        version=$INSTALL_K3S_VERSION
    else
        channel=${INSTALL_K3S_CHANNEL:-stable}
        info "Finding release for channel $channel"
        found=$(curl -w '%{url_effective}' -L -s -S "$CHANNELS/$channel" -o /dev/null) ||
            fail "Download failed"
        version=${found##*/}
    fi
    info "Using $version as release"
}

download() {
    case "$INSTALL_K3S_SKIP_DOWNLOAD" in
        true|binary)
            [ -x "$bin/k3s" ] || fail "Executable k3s binary not found at $bin/k3s"
            info "Skipping k3s download and verify"
            return 0 ;;
    esac
    choose_version
    scratch=$(mktemp -d -t k3s-install.XXXXXXXXXX)
    trap 'code=$?; rm -rf "$scratch"; exit $code' INT EXIT
    info "Downloading hash $RELEASES/$version/sha256sum-$architecture.txt"
    curl -o "$scratch/hash" -sfL "$RELEASES/$version/sha256sum-$architecture.txt" || fail "Download failed"
    wanted=$(grep " k3s$suffix\$" "$scratch/hash")
    wanted=${wanted%% *}
    if [ -x "$bin/k3s" ]; then
        installed=$(sha256sum "$bin/k3s")
        if [ "$wanted" = "${installed%% *}" ]; then
            info "Skipping binary downloaded, installed k3s matches hash"
            return 0
        fi
    fi
    info "Downloading binary $RELEASES/$version/k3s$suffix"
    curl -o "$scratch/k3s" -sfL "$RELEASES/$version/k3s$suffix" || fail "Download failed"
    info "Verifying binary download"
    found=$(sha256sum "$scratch/k3s")
    [ "$wanted" = "${found%% *}" ] || fail "Download sha256 does not match $wanted, got ${found%% *}"
    info "Installing k3s to $bin/k3s"
    mkdir -p "$bin"
    chmod 755 "$scratch/k3s"
    chown root:root "$scratch/k3s"
    mv -f "$scratch/k3s" "$bin/k3s"
    replaced=true
}

make_links() {
    [ "$INSTALL_K3S_SYMLINK" != skip ] || return 0
    for command in kubectl crictl ctr; do
        if [ "$INSTALL_K3S_SYMLINK" = force ] || ! command -v $command >/dev/null 2>&1; then
            info "Creating $bin/$command symlink to k3s"
            ln -sf k3s "$bin/$command"
        fi
    done
}

write_killall() {
    info "Creating killall script $bin/k3s-killall.sh"
    cat >"$bin/k3s-killall.sh" <<'EOF'
#!/bin/sh
[ "$(id -u)" = 0 ] || exec sudo "$0" "$@"
for unit in /etc/systemd/system/k3s*.service; do
    [ -s "$unit" ] && systemctl stop "$(basename "$unit")"
done
ip link delete cni0 2>/dev/null
ip link delete flannel.1 2>/dev/null
rm -rf /var/lib/cni /run/k3s
if command -v tailscale >/dev/null 2>&1; then
    tailscale set --advertise-routes=
fi
exit 0
EOF
    chmod 755 "$bin/k3s-killall.sh"
}

write_uninstall() {
    info "Creating uninstall script $bin/$uninstall"
    cat >"$bin/$uninstall" <<EOF
#!/bin/sh
[ "\$(id -u)" = 0 ] || exec sudo "\$0" "\$@"
$bin/k3s-killall.sh
systemctl disable $name
systemctl reset-failed $name
systemctl daemon-reload
rm -f $unit $unit.env
if ls $units/k3s*.service >/dev/null 2>&1; then
    echo "Additional k3s services installed, skipping uninstall of k3s"
    exit 0
fi
systemctl daemon-reload
for command in kubectl crictl ctr; do
    if [ -L $bin/\$command ]; then
        rm -f $bin/\$command
    fi
done
rm -rf /etc/rancher/k3s
rm -rf /run/k3s
rm -rf /run/flannel
rm -rf /var/lib/rancher/k3s
rm -rf /var/lib/kubelet
rm -f $bin/k3s
rm -f $bin/k3s-killall.sh
rm -f $bin/$uninstall
EOF
    chmod 755 "$bin/$uninstall"
}

write_service() {
    info "env: Creating environment file $unit.env"
    (umask 077; touch "$unit.env")
    chmod 0600 "$unit.env"
    env | grep -E '^(K3S|CONTAINERD|KINE)_' >"$unit.env" || true
    env | grep -Ei '^(NO|HTTP|HTTPS|ALL)_PROXY=' >>"$unit.env" || true
    info "systemd: Creating service file $unit"
    wait_network=multi-user.target
    cat >"$unit" <<EOF
[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=$wait_network

[Service]
Type=${INSTALL_K3S_TYPE:-notify}
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
EnvironmentFile=-$unit.env
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=$bin/k3s \\
    $role$flags
EOF
    chmod 0755 "$unit"
}

hashes() {
    for file in "$bin/k3s" "$unit" "$unit.env"; do
        [ -f "$file" ] && sha256sum "$file"
    done
    true
}

enable_and_start() {
    if [ "$INSTALL_K3S_SKIP_ENABLE" != true ]; then
        info "systemd: Enabling $name unit"
        systemctl enable "$unit"
        systemctl daemon-reload
    fi
    if [ "$INSTALL_K3S_SKIP_START" = true ]; then
        return 0
    fi
    after=$(hashes)
    if [ "$before" = "$after" ] && [ "$INSTALL_K3S_FORCE_RESTART" != true ]; then
        info "No change detected so skipping service start"
        return 0
    fi
    info "systemd: Starting $name"
    systemctl restart "$name"
}

main() {
    [ "$(id -u)" = 0 ] || fail "The simulated script has to be run as root"
    command -v systemctl >/dev/null 2>&1 ||
        fail "Can not find systemd or openrc to use as a process supervisor for k3s"
    command -v curl >/dev/null 2>&1 || fail "Can not find curl or wget for downloading files"
    choose_role "$@"
    choose_architecture
    before=$(hashes)
    download
    make_links
    write_killall
    write_uninstall
    systemctl disable "$name" >/dev/null 2>&1 || true
    write_service
    enable_and_start
}

main $INSTALL_K3S_EXEC "$@"
"""

INSTALL_SCRIPT_SHA256 = hashlib.sha256(INSTALL_SCRIPT.encode()).hexdigest()
