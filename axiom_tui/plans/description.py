"""A plan in words: its description, and what is different between two plans."""

from __future__ import annotations

from axiom_tui.plans.step import Plan, Step


def describe(plan: Plan) -> str:
    """The plan as plain text: subject, cluster, steps with commands, effect, and what can be undone."""
    lines = [
        f"Plan:    {plan.subject}",
        f"Cluster: {plan.cluster.name} ({plan.cluster.server})",
        *(["         SIMULATION: no real cluster is touched"] if plan.cluster.simulation else []),
        "",
        "Steps" if plan.steps else "Steps: none, there is nothing to do",
    ]
    for number, step in enumerate(plan.steps, start=1):
        lines += [
            f"  {number}. {step.title}",
            *(f"       {line}" for command in step.commands for line in command.splitlines()),
        ]
        if step.unavailable:
            lines.append(f"       left to you: {step.unavailable}")
    if plan.already:
        lines += ["", "Already so", *(f"  - {line}" for line in plan.already)]
    if plan.effect:
        lines += ["", "Effect", *(f"  - {line}" for line in plan.effect)]
    if plan.has_work:
        lines += ["", "Undo", *(f"  - {line}" for line in undo_words(plan))]
    if plan.typed_word:
        lines += ["", f'To apply it, type "{plan.typed_word}".']
    return "\n".join(lines) + "\n"


def undo_words(plan: Plan) -> tuple[str, ...]:
    """What can and what cannot be taken back, in sentences."""
    steps = [
        (number, step)
        for number, step in enumerate(plan.steps, start=1)
        if not (step.unavailable or step.only_looks)
    ]
    final = [(number, step) for number, step in steps if not step.reversible]
    if not final:
        return ("all of it can be undone",)
    notes = {step.undo_note for _, step in final}
    if len(final) == len(steps) and len(notes) == 1 and "" not in notes:
        return (f"none of it can be undone: {notes.pop()}",)
    words = [] if len(final) == len(steps) else ["the other steps can be undone"]
    return (
        *(f"step {number} cannot be undone: {step.undo_note or step.title}" for number, step in final),
        *words,
    )


def difference(old: Plan, new: Plan) -> tuple[str, ...]:
    """What the new plan does otherwise than the old one, line by line; () if they do the same."""
    lines: list[str] = []
    if (old.cluster.name, old.cluster.server) != (new.cluster.name, new.cluster.server):
        lines.append(
            f"another cluster: {old.cluster.name} ({old.cluster.server}) is now "
            f"{new.cluster.name} ({new.cluster.server})"
        )
    if (old.kind, old.subject) != (new.kind, new.subject):
        lines.append(f"subject: {old.subject} is now {new.subject}")
    lines += _steps(old, new)
    lines += _texts("effect", _outcome(old), _outcome(new))
    lines += _texts("right needed", tuple(map(str, old.rights)), tuple(map(str, new.rights)))
    lines += _texts("already so", old.already, new.already)
    if old.typed_word != new.typed_word:
        lines.append(f'the word to be typed: "{old.typed_word}" is now "{new.typed_word}"')
    if not lines and (changed := _other_choices(old, new)):
        # What the steps were made from has changed, though nobody can see it in their words.
        lines.append(f"what the plan was made from has changed: {', '.join(changed)}")
    return tuple(lines)


def _outcome(plan: Plan) -> tuple[str, ...]:
    return plan.effect if plan.outcome is None else plan.outcome


def _other_choices(old: Plan, new: Plan) -> list[str]:
    """The names of the choices that differ; the effect among them is compared by itself."""
    names = sorted({*old.choices, *new.choices} - {"effect"})
    return [name for name in names if old.choices.get(name) != new.choices.get(name)]


def _steps(old: Plan, new: Plan) -> list[str]:
    lines = [f"no longer: {step.title}" for step in old.steps if new.step(step.key) is None]
    for step in new.steps:
        before = old.step(step.key)
        if before is None:
            lines.append(f"new: {step.title}")
        elif _shown(before) != _shown(step):
            lines += _changed(before, step)
    kept_old = [step.key for step in old.steps if new.step(step.key)]
    kept_new = [step.key for step in new.steps if old.step(step.key)]
    if kept_old != kept_new:
        lines.append("the steps come in another order")
    return lines


def _shown(step: Step) -> tuple[object, ...]:
    return step.title, step.commands, step.reversible, step.unavailable


def _changed(old: Step, new: Step) -> list[str]:
    lines = [f"otherwise: {old.title}" + (f" is now: {new.title}" if new.title != old.title else "")]
    lines += [f"  no longer: {line}" for line in old.commands if line not in new.commands]
    lines += [f"  new: {line}" for line in new.commands if line not in old.commands]
    if old.reversible != new.reversible:
        lines.append("  can be undone now" if new.reversible else "  cannot be undone any more")
    if old.unavailable != new.unavailable:
        lines.append(f"  left to you: {new.unavailable}" if new.unavailable else "  can be done here now")
    return lines


def _texts(what: str, old: tuple[str, ...], new: tuple[str, ...]) -> list[str]:
    return [
        *(f"{what}, no longer: {line}" for line in old if line not in new),
        *(f"{what}, new: {line}" for line in new if line not in old),
    ]
