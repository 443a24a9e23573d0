"""Joins a host, or goes on with a join, and kills itself with SIGKILL after so many records of steps.

Arguments: settings file, host's address, device's id, name, number of records (0: do not die). It prints the
outcome, if it lives.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from axiom_tui.clients.kubernetes import KubernetesOptions, connect
from axiom_tui.config import load
from axiom_tui.plans.join_choice import JoinChoice
from axiom_tui.plans.join_proposal import facts_of, propose_join
from axiom_tui.plans.journal import Writer
from axiom_tui.plans.proposal import Means, resume
from tests.plans.embedded import Answers, Embedded

STEP_RECORDS = ("step-begun", "step-ended")


def die_after(records: int) -> None:
    """Let the journal have so many records of steps, then kill this process."""
    write = Writer._write
    left = records

    def watched(writer: Writer, line: bytes) -> None:
        nonlocal left
        write(writer, line)
        record = json.loads(line)
        if record["type"] in STEP_RECORDS:
            left -= 1
            if left == 0:
                sys.stdout.write(f"killed after {record['type']} {record['step']}\n")
                sys.stdout.flush()
                os.kill(os.getpid(), signal.SIGKILL)

    Writer._write = watched  # type: ignore[method-assign, assignment]


def main(settings_file: str, host: str, device: str, name: str, records: str) -> None:
    settings = Embedded.tuned(load(Path(settings_file)).settings)
    client = connect(KubernetesOptions(settings.kubernetes.kubeconfig, settings.kubernetes.context))
    means = Means(client, settings, Answers())
    waiting = [entry for entry in means.journal.entries() if entry.can_be_resumed]
    if waiting:
        proposal = resume(means, waiting[0].plan_id)
    else:
        choice = JoinChoice(host=host, device_id=device, name=name)
        proposal = propose_join(means, choice, facts_of(means, choice))
    if int(records):
        die_after(int(records))
    result = proposal.run(lambda event: None)
    sys.stdout.write(f"{result.outcome.value} {result.problem or ''}\n")
    client.disconnect()


if __name__ == "__main__":
    main(*sys.argv[1:])
