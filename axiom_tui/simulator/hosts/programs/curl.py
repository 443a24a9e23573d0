"""curl, as far as a join needs it: HTTPS with real rules about whom to trust, and curl's exit statuses."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from axiom_tui.simulator.hosts.network import Page, Unreachable, Unresolved
from axiom_tui.simulator.hosts.program import Failure, Run, program
from axiom_tui.simulator.hosts.programs.processes import duration

_LONG = (
    *("fail", "silent", "show-error", "location", "output=", "write-out=", "max-time=", "connect-timeout="),
    *("cacert=", "insecure", "head", "include", "dump-header=", "request=", "header=", "retry=", "proto="),
    *(
        "retry-delay=",
        "tlsv1.2",
        "compressed",
        "user-agent=",
        "remote-name",
        "fail-with-body",
        "data=",
        "ipv4",
    ),
    *("ipv6", "retry-connrefused", "retry-all-errors", "url=", "noproxy=", "http1.1", "resolve=", "version"),
)
_SHORT = {
    "--fail": "-f",
    "--silent": "-s",
    "--show-error": "-S",
    "--location": "-L",
    "--output": "-o",
    "--write-out": "-w",
    "--max-time": "-m",
    "--insecure": "-k",
    "--head": "-I",
    "--include": "-i",
    "--dump-header": "-D",
    "--remote-name": "-O",
    "--ipv4": "-4",
    "--ipv6": "-6",
}
_MOST_REDIRECTIONS = 50
_HANGS = 300.0  # seconds until a connection that nobody answers is given up, without --max-time


@program("curl")
def curl(run: Run) -> int:
    found, words = run.options("fsSLo:w:m:kIiD:OX:H:d:A:46u:", _LONG)
    options = {_SHORT.get(name, name): value for name, value in found.items()}
    if "--version" in options:
        run.line("curl 7.81.0 (x86_64-pc-linux-gnu) libcurl/7.81.0 OpenSSL/3.0.2")
        return 0
    url = options.get("--url", words[0] if words else "")
    if not url:
        run.say("curl: try 'curl --help' or 'curl --manual' for more information")
        return 2
    values = {
        "url_effective": url,
        "http_code": "000",
        "response_code": "000",
        "remote_ip": "",
        "exitcode": "0",
    }
    try:
        page, url = _fetch(run, options, url)
        values |= {
            "url_effective": url,
            "http_code": f"{page.status:03d}",
            "response_code": f"{page.status:03d}",
        }
        values |= {"content_type": page.headers.get("Content-Type", ""), "size_download": str(len(page.body))}
        status = _deliver(run, options, page, url)
    except Failure as failure:
        status = failure.status
        if "-s" not in options or "-S" in options:
            run.say(f"curl: ({status}) {failure}")
    values |= {
        "exitcode": str(status),
        "time_total": "0.021",
        "time_connect": "0.009",
        "ssl_verify_result": "0",
    }
    if form := options.get("-w"):
        text = run.text(form[1:]) if form.startswith("@") else form
        for name, value in values.items():
            text = text.replace(f"%{{{name}}}", value)
        run.write(text.replace("\\n", "\n").replace("\\t", "\t"))
    return status


def _fetch(run: Run, options: dict[str, str], url: str) -> tuple[Page, str]:
    for _ in range(_MOST_REDIRECTIONS):
        if "://" not in url:
            url = f"http://{url}"
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise Failure(f'Protocol "{parts.scheme}" not supported or disabled in libcurl', 1)
        if not parts.hostname:
            raise Failure("URL using bad/illegal format or missing URL", 3)
        page = _ask(run, options, url, parts.hostname)
        target = page.headers.get("Location")
        if not target or "-L" not in options or not 300 <= page.status < 400:
            return page, url
        url = urljoin(url, target)
    raise Failure(f"Maximum ({_MOST_REDIRECTIONS}) redirects followed", 47)


def _ask(run: Run, options: dict[str, str], url: str, name: str) -> Page:
    try:
        page = run.host.network.get(url)
    except Unresolved as error:
        raise Failure(f"Could not resolve host: {name}", 6) from error
    except Unreachable as error:
        if not error.slow:
            raise Failure(
                f"Failed to connect to {name} port {urlsplit(url).port or 443}: Connection refused", 7
            ) from error
        limits = [duration(options[key]) for key in ("-m", "--connect-timeout") if key in options]
        seconds = min([*limits, _HANGS])
        run.process.wait_for(lambda: False, run.host.paced(seconds))
        raise Failure(f"Connection timed out after {int(seconds * 1000)} milliseconds", 28) from error
    if url.startswith("https:") and page.authority and "-k" not in options:
        _trust(run, options, page)
    return page


def _trust(run: Run, options: dict[str, str], page: Page) -> None:
    """K3s' own authority is known to nobody but by ``--cacert``."""
    path = options.get("--cacert", "")
    try:
        known = run.text(path) if path else ""
    except OSError as error:
        raise Failure(
            f"error setting certificate verify locations:  CAfile: {path} CApath: none", 77
        ) from error
    if page.authority.strip() not in known:
        raise Failure(
            "SSL certificate problem: unable to get local issuer certificate\n"
            "More details here: https://curl.se/docs/sslcerts.html\n\n"
            "curl failed to verify the legitimacy of the server and therefore could not\n"
            "establish a secure connection to it. To learn more about this situation and\n"
            "how to fix it, please visit the web page mentioned above.",
            60,
        )


def _deliver(run: Run, options: dict[str, str], page: Page, url: str) -> int:
    if "-f" in options and page.status >= 400:
        raise Failure(f"The requested URL returned error: {page.status}", 22)
    reasons = {200: "OK", 302: "Found", 401: "Unauthorized", 404: "Not Found", 500: "Internal Server Error"}
    lines = [f"HTTP/1.1 {page.status} {reasons.get(page.status, '')}"]
    lines += [f"{name}: {value}" for name, value in page.headers.items()]
    head = ("\r\n".join([*lines, f"Content-Length: {len(page.body)}"]) + "\r\n\r\n").encode()
    body = head if "-I" in options else (head + page.body if "-i" in options else page.body)
    try:
        if "-D" in options:
            _put(run, options["-D"], head)
        target = options.get("-o", urlsplit(url).path.rpartition("/")[2] if "-O" in options else "-")
        _put(run, target, body)
    except OSError as error:
        if error.filename:
            run.complain(f"{error.filename}: {error.strerror}") if "-s" not in options else None
        raise Failure(f"Failure writing output to destination: {error.strerror}", 23) from error
    return 0


def _put(run: Run, path: str, content: bytes) -> None:
    if path == "-":
        run.write(content)
    elif path != "/dev/null":
        run.put(path, content)
