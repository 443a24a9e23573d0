"""Joins a host, or goes on with a join, and kills itself with SIGKILL at the first new moment of a step.

Arguments: settings file, host's address, device's id, name, and the moments at which others were killed, such
as ``step-begun:config,step-ended:config``. It prints the moment of its end, or the outcome if it lives.
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


def die_at_a_moment_beside(known: set[str]) -> None:
    """Let the journal have the record of a step that nobody was killed at yet, then kill this process."""
    write = Writer._write

    def watched(writer: Writer, line: bytes) -> None:
        write(writer, line)
        record = json.loads(line)
        moment = f"{record['type']}:{record.get('step')}"
        if record["type"] in STEP_RECORDS and moment not in known:
            sys.stdout.write(moment)
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    Writer._write = watched  # type: ignore[method-assign, assignment]


def main(settings_file: str, host: str, device: str, name: str, known: str) -> None:
    settings = Embedded.tuned(load(Path(settings_file)).settings)
    client = connect(KubernetesOptions(settings.kubernetes.kubeconfig, settings.kubernetes.context))
    means = Means(client, settings, Answers())
    waiting = [entry for entry in means.journal.entries() if entry.can_be_resumed]
    if waiting:
        proposal = resume(means, waiting[0].plan_id)
    else:
        choice = JoinChoice(host=host, device_id=device, name=name)
        proposal = propose_join(means, choice, facts_of(means, choice))
    die_at_a_moment_beside(set(known.split(",")))
    result = proposal.run(lambda event: None)
    sys.stdout.write(f"{result.outcome.value} {result.problem or ''}\n")
    client.disconnect()


if __name__ == "__main__":
    main(*sys.argv[1:])
