"""Programs that tell of the machine, its kernel and its name."""

from __future__ import annotations

import re
from datetime import UTC

from axiom_tui.simulator.hosts.program import Failure, Run, program

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "arm": "armv7l"}


@program("uname")
def uname(run: Run) -> int:
    computer = run.host.computer
    machine = _MACHINES.get(computer.architecture, computer.architecture)
    version = "#171-Ubuntu SMP Sat Oct 11 08:17:01 UTC 2025"
    values = {"-s": "Linux", "-n": run.host.name, "-r": computer.system.kernel, "-v": version, "-m": machine}
    values |= {"-p": machine, "-i": machine, "-o": "GNU/Linux"}
    options, _ = run.options("asnrvmpio")
    chosen = [value for name, value in values.items() if name in options or "-a" in options]
    run.line(" ".join(chosen or ["Linux"]))
    return 0


@program("arch")
def arch(run: Run) -> int:
    run.line(_MACHINES.get(run.host.computer.architecture, run.host.computer.architecture))
    return 0


@program("dpkg")
def dpkg(run: Run) -> int:
    if "--print-architecture" in run.arguments:
        run.line({"arm": "armhf"}.get(run.host.computer.architecture, run.host.computer.architecture))
        return 0
    return 1


@program("hostname")
def hostname(run: Run) -> int:
    options, words = run.options("sfdiI")
    if words:
        if not run.user.is_root:
            raise Failure("you must be root to change the host name")
        run.host.rename(words[0])
        return 0
    if "-I" in options:
        run.line(" ".join(run.host.addresses()) + " ")
        return 0
    run.line(run.host.name)
    return 0


@program("hostnamectl")
def hostnamectl(run: Run) -> int:
    options, words = run.options("", ["static", "transient", "pretty", "no-ask-password"])
    if words[:1] == ["set-hostname"] or (words[:1] == ["hostname"] and len(words) > 1):
        if not run.user.is_root:
            raise Failure("Could not set static hostname: Interactive authentication required.")
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?", words[1]):
            run.say(f"Failed to set hostname: Invalid static hostname '{words[1]}'")
            return 1
        run.host.rename(words[1])
        return 0
    if words[:1] == ["hostname"] or options:
        run.line(run.host.name)
        return 0
    system = run.host.computer.system
    run.line(f" Static hostname: {run.host.name}")
    run.line(f"Operating System: {system.pretty}")
    run.line(f"          Kernel: Linux {system.kernel}")
    run.line(f"    Architecture: {run.host.computer.architecture}")
    return 0


@program("nproc")
def nproc(run: Run) -> int:
    run.line(str(run.host.computer.cores))
    return 0


@program("getconf")
def getconf(run: Run) -> int:
    known = {"_NPROCESSORS_ONLN": str(run.host.computer.cores), "PAGE_SIZE": "4096", "LONG_BIT": "64"}
    if not run.arguments or run.arguments[0] not in known:
        return 1
    run.line(known[run.arguments[0]])
    return 0


@program("free")
def free(run: Run) -> int:
    options, _ = run.options("bkmgh", ["mega", "kibi", "mebi"])
    unit = 1024 if "-m" in options else 1
    total = run.host.computer.memory_mib * 1024
    values = [total, total // 7, total // 2, 1100, total // 3, total * 4 // 5]
    run.line("               total        used        free      shared  buff/cache   available")
    run.line("Mem:    " + "".join(f"{value // unit:>12}" for value in values))
    run.line(f"Swap:   {run.host.swap_kib // unit:>12}{0:>12}{run.host.swap_kib // unit:>12}")
    return 0


@program("uptime")
def uptime(run: Run) -> int:
    run.line(" 12:00:00 up 3 days,  4:05,  0 users,  load average: 0.08, 0.03, 0.01")
    return 0


@program("date")
def date(run: Run) -> int:
    options, words = run.options("uId:Rs:", ["utc", "iso-8601=", "date="])
    now = run.host.clock().astimezone(UTC)
    wanted = options.get("-d", options.get("--date", ""))
    if wanted.startswith("@"):
        now = now.fromtimestamp(float(wanted[1:]), UTC)
    form = next((word[1:] for word in words if word.startswith("+")), "%a %b %e %H:%M:%S UTC %Y")
    if "--iso-8601" in options or "-I" in options:
        form = "%Y-%m-%dT%H:%M:%S+00:00" if options.get("--iso-8601", "").startswith("s") else "%Y-%m-%d"
    form = form.replace("%s", str(int(now.timestamp()))).replace("%N", f"{now.microsecond * 1000:09d}")
    run.line(now.strftime(form.replace("%:z", "+00:00")))
    return 0


@program("timedatectl")
def timedatectl(run: Run) -> int:
    options, words = run.options("p:", ["property=", "value"])
    values = {
        "NTPSynchronized": "yes" if not run.host.find_fault("host-clock-skew") else "no",
        "NTP": "yes",
        "Timezone": "Etc/UTC",
    }
    if words[:1] in (["show"], ["status"]) or options:
        wanted = options.get("-p", options.get("--property", "")).split(",")
        for name, value in values.items():
            if wanted == [""] or name in wanted:
                run.line(value if "--value" in options else f"{name}={value}")
        return 0
    run.line(f"System clock synchronized: {values['NTPSynchronized']}")
    run.line("              NTP service: active")
    return 0


@program("lsb_release")
def lsb_release(run: Run) -> int:
    system = run.host.computer.system
    run.line(
        f"Distributor ID:\t{system.id.title()}\nRelease:\t{system.version}\nCodename:\t{system.codename}"
    )
    return 0


@program("systemd-detect-virt")
def detect_virt(run: Run) -> int:
    run.line("none" if run.host.computer.place == "home" else "kvm")
    return int(run.host.computer.place == "home")


@program("systemd-cat", "logger")
def logger(run: Run) -> int:
    options, words = run.options("t:p:si:")
    text = " ".join(words) or run.all_input().decode(errors="replace").strip()
    run.host.journal.write(
        "user.slice", text, identifier=options.get("-t", run.user.name), pid=run.process.pid
    )
    return 0


@program("modprobe")
def modprobe(run: Run) -> int:
    options, words = run.options("anqvr", ["quiet", "dry-run", "show-depends"])
    for name in words:
        known = name.replace("-", "_") in run.host.known_modules
        if not known:
            place = f"/lib/modules/{run.host.computer.system.kernel}"
            run.say(f"modprobe: FATAL: Module {name} not found in directory {place}")
            return 1
        if {"-n", "--dry-run", "--show-depends"} & set(options):
            continue
        if not run.user.is_root:
            run.say(f"modprobe: ERROR: could not insert '{name}': Operation not permitted")
            return 1
        run.host.modules.add(name.replace("-", "_"))
    return 0


@program("lsmod")
def lsmod(run: Run) -> int:
    run.line("Module                  Size  Used by")
    for name in sorted(run.host.modules):
        run.line(f"{name:<22} 32768  0")
    return 0


@program("sysctl")
def sysctl(run: Run) -> int:
    options, words = run.options("nwqep:a", ["system", "quiet", "values"])
    if "--system" in options or "-p" in options:
        paths = (
            [options["-p"]]
            if options.get("-p")
            else [f"/etc/sysctl.d/{name}" for name in run.files.names("/etc/sysctl.d")]
        )
        words = []
        for path in paths:
            lines = run.files.read(path).decode().splitlines()
            words += [
                line.replace(" ", "") for line in lines if "=" in line and not line.startswith(("#", ";"))
            ]
    status = 0
    for word in words:
        name, equals, value = word.partition("=")
        path = "/proc/sys/" + name.replace(".", "/")
        entry = run.files.find(path)
        if entry is None:
            run.complain(f"cannot stat {path}: No such file or directory")
            status = 255
            continue
        if equals:
            if not run.user.is_root:
                run.complain(f'permission denied on key "{name}"')
                status = 255
                continue
            run.files.store(entry, f"{value}\n".encode())
        shown = entry.read().decode().strip()
        if "-q" not in options:
            run.line(shown if "-n" in options else f"{name} = {shown}")
    return status


@program("swapon")
def swapon(run: Run) -> int:
    options, _ = run.options("sa", ["show", "noheadings", "bytes", "summary", "raw"])
    if not run.host.swap_kib:
        return 0
    if "--noheadings" not in options:
        run.line("NAME      TYPE  SIZE USED PRIO")
    run.line(f"/swap.img file {run.host.swap_kib // 1_048_576}G   0B   -2")
    return 0


@program("swapoff")
def swapoff(run: Run) -> int:
    if not run.user.is_root:
        raise Failure("Not superuser.")
    run.host.swap_kib = 0
    return 0


@program("ufw")
def ufw(run: Run) -> int:
    if not run.user.is_root:
        run.say("ERROR: You need to be root to run this script")
        return 1
    run.line(f"Status: {'active' if run.host.firewall_on else 'inactive'}")
    return 0


@program("reboot", "shutdown", "poweroff")
def reboot(run: Run) -> int:
    raise Failure("not on this host", 1)
