"""Plans without a screen: show one, apply it, list the journal, resume, undo.

Exit codes: 0 done (or nothing to do), 1 it was begun but not finished, 2 nothing was changed.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from axiom_tui.clients.kubernetes import connect
from axiom_tui.clients.ssh_values import Interaction, LoginBanner, UnknownHostKey
from axiom_tui.config import Settings, state_directory
from axiom_tui.fleet.oneshot import in_force, kubernetes_options
from axiom_tui.model.checks import CheckState, standing_fails
from axiom_tui.model.labels import label_value_fault
from axiom_tui.model.preflight import RULES
from axiom_tui.model.problem import AxiomError, Problem, ProblemKind, fail
from axiom_tui.model.secret import Secret
from axiom_tui.model.times import clock
from axiom_tui.model.version import Version
from axiom_tui.plans import proposal as proposals
from axiom_tui.plans.description import describe
from axiom_tui.plans.entry import UNDO, Entry
from axiom_tui.plans.events import (
    Event,
    Outcome,
    Output,
    PlanChanged,
    PlanStarted,
    Result,
    StepFinished,
    StepOverdue,
    StepStarted,
    StepState,
    Waiting,
)
from axiom_tui.plans.join_choice import JoinChoice
from axiom_tui.plans.journal import Journal
from axiom_tui.plans.proposal import Means, Proposal
from axiom_tui.plans.step import CancelToken, Plan
from axiom_tui.plans.transcript import account, transcript_of
from axiom_tui.plans.undo import OF

DONE, NOT_FINISHED, NOTHING_CHANGED = 0, 1, 2
DOCUMENT = "axiom-tui/v1"


@dataclass(frozen=True, slots=True)
class Labels:
    """``nodes`` () is all; ``pool`` None is as the policy says, "" none. ``persist``: on the nodes too."""

    nodes: tuple[str, ...] = ()
    pool: str | None = None
    persist: bool = False

    def propose(self, means: Means) -> Proposal:
        return proposals.propose_labels(means, self.nodes or None, self.pool, persist=self.persist)


class Asked(Protocol):
    """What is to be planned: `Labels` or `Join`."""

    def propose(self, means: Means) -> Proposal:
        """Look and plan. Raises AxiomError if it cannot be planned."""
        ...


@dataclass(frozen=True, slots=True)
class Join:
    """Join a host to the cluster."""

    choice: JoinChoice

    def propose(self, means: Means) -> Proposal:
        from axiom_tui.plans.join_proposal import checks, facts_of, propose_join

        self._check_words()
        facts = facts_of(means, self.choice)
        found = checks(means, self.choice, facts)
        for check in found:
            if check.state is not CheckState.PASS:
                print(f"{check.state}: {check.sentence} {check.remedy}".rstrip(), file=sys.stderr)
        fails = standing_fails(found, self.choice.overridden)
        if fails:
            rules = ", ".join(check.rule for check in fails)
            remedy = "Mend what is said above."
            if all(check.overridable for check in fails):
                remedy += f" Or override by name: {' '.join(f'--override {check.rule}' for check in fails)}."
            raise fail(ProblemKind.INVALID, f"{self.choice.name} can't join: {rules} failed.", remedy)
        return propose_join(means, self.choice, facts)

    def _check_words(self) -> None:
        """What was mistyped is said before anybody logs in. Raises AxiomError."""
        rules = [rule.name for rule in RULES]
        for name in self.choice.overridden:
            if name not in rules:
                raise fail(
                    ProblemKind.INVALID,
                    f"There is no rule {name!r} to override.",
                    f"Rules are: {', '.join(rules)}.",
                )
        version = Version.parse(self.choice.version)
        if self.choice.first_server and (version is None or not version.build):
            raise fail(
                ProblemKind.INVALID,
                f"{self.choice.version or 'Nothing'} is no version of K3s, and a new cluster needs one.",
                "Give it: --k3s-version v1.33.4+k3s1",
            )
        if self.choice.pool and (wrong := label_value_fault(self.choice.pool)) is not None:
            raise fail(
                ProblemKind.INVALID,
                f"Kubernetes would refuse the pool {self.choice.pool!r}: {wrong}.",
                "Name another pool.",
            )


@dataclass(frozen=True, slots=True)
class Consent:
    """Whether to ask; the typed word of a dangerous plan; how long to wait for another admin's plan (s)."""

    yes: bool = False
    confirm: str = ""
    wait: float = 0.0


def show_plan(settings: Settings, asked: Asked, output: str) -> int:
    """Print the plan and do nothing."""
    with _means(settings) as means:
        plan = asked.propose(means).plan
    if output == "json":
        print(json.dumps(_document(plan), indent=2, ensure_ascii=False))
    else:
        print(describe(plan), end="")
    return DONE


def apply(settings: Settings, asked: Asked, consent: Consent) -> int:
    """Make the plan, ask, and run it."""
    with _means(settings) as means:
        return _run(asked.propose(means), consent)


def resume(settings: Settings, plan_id: str, consent: Consent) -> int:
    """Go on with a plan of the journal; "" is the last one that was cut short."""
    with _means(settings) as means:
        chosen = plan_id or _last_cut_short(means.journal)
        return _run(proposals.resume(means, chosen), consent)


def undo(settings: Settings, plan_id: str, consent: Consent) -> int:
    """Take a plan of the journal back."""
    with _means(settings) as means:
        return _run(proposals.undo(means, plan_id), consent)


def show_journal(plan_id: str, output: str) -> int:
    """List the journal, or show one plan step by step. Asks nothing outside of this machine."""
    journal = Journal(state_directory())
    if plan_id:
        entry = journal.load(plan_id)
        if output == "json":
            print(json.dumps(_entry_document(entry), indent=2, ensure_ascii=False))
        else:
            print("\n".join((*transcript_of(entry), *(f"# {line}" for line in _ways_on(entry)))))
        return DONE
    entries = journal.entries()
    if output == "json":
        items = [_entry_document(entry) for entry in entries]
        document = {"apiVersion": DOCUMENT, "kind": "JournalList", "items": items}
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return DONE
    if not entries:
        print("Nothing was changed from this machine yet.", file=sys.stderr)
    now = datetime.now().astimezone()
    for entry in entries:
        began = clock(entry.last_began, now) if entry.last_began else "-"
        left = f"  ({entry.left_to_you} left to you)" if entry.left_to_you else ""
        print(
            f"{entry.plan_id}  {began:<13}  {_state(entry):<11}  {entry.progress}  "
            f"{entry.cluster}  {entry.subject}{left}"
        )
    return DONE


class Console(Interaction):
    """Asks on the terminal. Without one nothing is accepted and no secret is given."""

    def login_banner(self, banner: LoginBanner) -> None:
        print(banner.text, file=sys.stderr, flush=True)

    def confirm_host_key(self, unknown: UnknownHostKey) -> bool:
        if not sys.stdin.isatty():
            return False
        print(
            f"Nobody vouches for the host key of {unknown.host}: {unknown.key_type} {unknown.fingerprint}\n"
            f"Compare it with what this prints on the provider's console: {unknown.command}",
            file=sys.stderr,
        )
        return input("Is it the same? Type yes: ").strip().lower() == "yes"

    def passphrase(self, key_file: Path, again: bool) -> Secret | None:
        return _secret(f"Passphrase of {key_file}", again)

    def password(self, user: str, host: str, again: bool) -> Secret | None:
        return _secret(f"Password of {user} on {host}", again)

    def sudo_password(self, user: str, host: str, again: bool) -> Secret | None:
        return _secret(f"Password that sudo asks {user} for on {host}", again)


def _secret(prompt: str, again: bool) -> Secret | None:
    """Read a secret from the terminal, unseen; None without a terminal or for nothing typed."""
    if not sys.stdin.isatty():
        return None
    import getpass

    text = getpass.getpass(f"{prompt}{' (the one before was refused)' if again else ''}: ")
    return Secret(text) if text else None


@contextmanager
def _means(settings: Settings) -> Iterator[Means]:
    try:
        chosen = in_force(settings)
        client = connect(kubernetes_options(chosen))
    except AxiomError as error:
        chosen = settings.for_context(settings.kubernetes.context)
        yield Means.without_cluster(error.problem, chosen, Console())
        return
    try:
        yield Means(client, chosen, Console())
    finally:
        client.disconnect()


def _run(proposal: Proposal, consent: Consent) -> int:
    plan = proposal.plan
    print(describe(plan))
    if not plan.has_work and not proposal.resume_id:
        print("There is nothing to do.")
        return DONE
    typed = _consented(plan, consent)
    cancel = CancelToken()
    before = signal.signal(signal.SIGINT, lambda *_: _cancelled(cancel))
    try:
        result = proposal.run(_tell, cancel, typed, consent.wait)
    finally:
        signal.signal(signal.SIGINT, before)
    return _account(result, proposal)


def _consented(plan: Plan, consent: Consent) -> str:
    """The word that was typed ("" if none is needed). Raises AxiomError without consent."""
    if plan.typed_word:
        if consent.confirm:
            return consent.confirm
        if not sys.stdin.isatty():
            raise fail(
                ProblemKind.INVALID,
                "This plan is dangerous and wants a typed word; there is no terminal to ask on.",
                f"Give it: --confirm {plan.typed_word}",
            )
        return input(f'To apply this plan, type "{plan.typed_word}": ').strip()
    if consent.yes:
        return ""
    if not sys.stdin.isatty():
        raise fail(
            ProblemKind.INVALID, "There is no terminal to ask on.", "Give --yes to apply without asking."
        )
    if input("Apply this plan? Type yes: ").strip().lower() not in ("y", "yes"):
        raise fail(ProblemKind.CANCELLED, "Not applied: nothing was changed.")
    return ""


def _cancelled(cancel: CancelToken) -> None:
    print("Cancelling: the run ends after this step.", file=sys.stderr)
    cancel.cancel()


def _tell(event: Event) -> None:
    """One line for each thing that happens, as it happens."""
    match event:
        case PlanStarted():
            line = f"plan {event.plan_id}"
        case StepStarted():
            line = f"{event.index + 1}. {event.title}"
        case Output():
            line = f"     {event.line}"
        case Waiting():
            line = f"     waiting for {event.what}, until {event.until.astimezone():%H:%M:%S}"
        case StepOverdue():
            line = "     the step's deadline is over; it was asked to end"
        case StepFinished() if event.result.state is StepState.UNAVAILABLE:
            line = f"{event.index + 1}. {event.result.title}\n     left to you: {event.result.reason}"
        case StepFinished():
            line = f"     {event.result.state} ({event.result.seconds:.1f} s)"
        case PlanChanged() if event.difference:
            line = "\n".join((event.why, *(f"  {text}" for text in event.difference)))
        case _:
            return
    print(line, flush=True)


def _account(result: Result, proposal: Proposal) -> int:
    """What came of it, and how it goes on; gives the exit code."""
    print()
    reached = any(step.state not in (StepState.NOT_REACHED, StepState.UNAVAILABLE) for step in result.steps)
    if reached or result.outcome is Outcome.DONE:
        said = account(result)
        for title, lines in (
            ("Changed", said.changed),
            ("Already so", said.already),
            ("Left to do", said.left),
        ):
            for line in lines:
                print(f"{title}: {line}")
    else:
        before = " What an earlier run did stays as it is." if proposal.resume_id else ""
        print(f"Nothing was changed by this run.{before}")
    if result.problem is not None:
        print(f"axiom-tui: {result.problem}", file=sys.stderr)
    if result.outcome is Outcome.DONE:
        return DONE
    if result.journalled:
        for line in _ways_on(proposal.means.journal.load(result.plan_id)):
            print(line)
    return NOT_FINISHED if result.journalled else NOTHING_CHANGED


def _ways_on(entry: Entry) -> tuple[str, ...]:
    """What can be done with a plan of the journal that is not through."""
    if entry.outcome is Outcome.DONE:
        return ()
    lines = []
    if entry.can_be_resumed:
        lines.append(f"To go on: axiom-tui resume {entry.plan_id}")
    if entry.can_be_undone:
        lines.append(f"To take back what was done: axiom-tui undo {entry.plan_id}")
    if entry.kind == UNDO and entry.outcome is Outcome.CHANGED:
        lines.append(f"To take back the rest: axiom-tui undo {entry.choices[OF]}")
    return tuple(lines)


def _last_cut_short(journal: Journal) -> str:
    for entry in journal.entries():
        if entry.can_be_resumed:
            return entry.plan_id
    raise AxiomError(
        Problem(ProblemKind.MISSING, "No plan waits to be resumed.", "`axiom-tui journal` lists all of them.")
    )


def _state(entry: Entry) -> str:
    if entry.faults:
        return "damaged"
    if entry.running:
        return "running"
    if entry.undone:
        return "undone"
    if entry.cut_short:
        return "cut short"
    return entry.outcome.value if entry.outcome else "not begun"


def _document(plan: Plan) -> dict[str, object]:
    return {
        "apiVersion": DOCUMENT,
        "kind": "Plan",
        "cluster": {"name": plan.cluster.name, "server": plan.cluster.server},
        "plan": plan.kind,
        "subject": plan.subject,
        "steps": [
            {
                "key": step.key,
                "title": step.title,
                "commands": list(step.commands),
                "reversible": step.reversible,
                "leftToYou": step.unavailable,
            }
            for step in plan.steps
        ],
        "effect": list(plan.effect),
        "already": list(plan.already),
        "rights": [str(right) for right in plan.rights],
        "typedWord": plan.typed_word,
    }


def _entry_document(entry: Entry) -> dict[str, object]:
    return {
        "apiVersion": DOCUMENT,
        "kind": "JournalEntry",
        "id": entry.plan_id,
        "plan": entry.kind,
        "subject": entry.subject,
        "cluster": {"name": entry.cluster, "server": entry.server},
        "by": entry.who,
        "state": _state(entry),
        "began": entry.began.isoformat() if entry.began else None,
        "ended": entry.ended.isoformat() if entry.ended else None,
        "problem": str(entry.problem) if entry.problem else "",
        "steps": [
            {"key": step.key, "title": step.title, "state": step.state.value, "seconds": step.seconds}
            for step in entry.steps
        ],
    }
