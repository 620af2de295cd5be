"""The shape of a saga: what is refused, with which words, and in which order undos go."""

from __future__ import annotations

import pytest

from airgate.policy.saga.plan import Plan, Step


def step(name: str, *after: str, undo: bool | None = True, **kwargs: bool) -> Step:
    """A step that can be undone."""
    return Step(name, frozenset(after), undo=undo, **kwargs)


def pivot(name: str, *after: str) -> Step:
    return Step(name, frozenset(after), pivot=True)


def retriable(name: str, *after: str) -> Step:
    return Step(name, frozenset(after), retriable=True)


MISUSES = [
    ("no step", [], "a saga needs a step"),
    ("an empty name", [step("")], "step '': a name has letters"),
    ("a digit first", [step("1st")], "step '1st': a name has letters"),
    ("a dot", [step("a.b")], "step 'a.b': a name has letters"),
    ("a name that is too long", [step("a" * 101)], "a name has letters"),
    ("a line break", [step("a\n")], "a name has letters"),
    ("journal", [step("journal")], "step 'journal': the saga has a task of its own by this name; choose another"),
    ("begin", [step("begin")], "step 'begin': the saga has a task of its own"),
    ("decide", [step("decide")], "step 'decide': the saga has a task of its own"),
    ("verdict", [step("verdict")], "step 'verdict': the saga has a task of its own"),
    ("the name of an undo", [step("a"), step("undo_a", "a")], "step 'undo_a': the saga has a task of its own"),
    ("a name twice", [step("a"), step("b"), step("a", "b")], "two steps have the name a; each needs one of its own"),
    ("a retriable pivot", [Step("a", pivot=True, retriable=True)], "step 'a' is the pivot, which the steps behind"),
    ("a pivot with an undo", [Step("a", pivot=True, undo=True)], "step 'a' is the pivot, behind which nothing"),
    ("a pivot that says no undo", [Step("a", pivot=True, undo=False)], "step 'a' is the pivot, behind which nothing"),
    ("a retriable step with an undo", [pivot("a"), Step("b", frozenset("a"), undo=True, retriable=True)],
     "step 'b' is retriable: it stands behind the pivot"),
    ("a tombstone without an undo", [step("a", undo=False, tombstone=True)], "step 'a': tombstone describes an undo"),
    ("a pivot with a tombstone", [Step("a", pivot=True, tombstone=True)], "step 'a': tombstone describes an undo"),
    ("an unknown step", [step("a", "c", "b")], "step 'a' follows b, c, which is no step of this saga"),
    ("a circle", [step("a", "b"), step("b", "a")], "the steps go round in a circle: "),
    ("a step that follows itself", [step("a", "a")], "the steps go round in a circle: a -> a"),
    ("two pivots", [pivot("a"), pivot("b", "a")], "a saga has one pivot at most, not a, b"),
    ("a step beside the pivot", [step("a"), pivot("b", "a"), step("c", "a")],
     "step 'c' stands beside the pivot 'b': whether it is to be undone"),
    ("a retriable step beside the pivot", [step("a"), pivot("b", "a"), retriable("c", "a")],
     "step 'c' stands beside the pivot 'b'"),
    ("an undo behind the pivot", [pivot("a"), step("b", "a")],
     "step 'b' stands behind the pivot and only goes forward: say retriable=True, or move it before 'a'"),
    ("a retriable step before the pivot", [retriable("a"), pivot("b", "a")],
     "step 'a' is retriable, and that is for steps behind a pivot; give it an undo"),
    ("a retriable step without a pivot", [retriable("a")], "step 'a' is retriable, and that is for steps behind"),
    ("no word on the undo", [step("a", undo=None), pivot("b", "a")],
     "step 'a' has no undo: give undo=…, or undo=False where it has no effect worth undoing"),
    ("no word on the undo, no pivot", [step("a", undo=None)], "step 'a' has no undo"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "message"), [case[1:] for case in MISUSES], ids=[case[0] for case in MISUSES])
def test_what_makes_no_saga_is_refused_with_the_step_and_the_cure(steps: list[Step], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        Plan(tuple(steps))

    assert str(refused.value).startswith(message) or (message == "a name has letters" and message in str(refused.value))


SHAPES = {
    "chain": [step("a"), step("b", "a"), step("c", "b")],
    "chain with a pivot": [step("a"), step("b", "a"), pivot("ship", "b"), retriable("tell", "ship")],
    "beside each other": [step("a"), step("b")],
    "fork": [step("a"), step("b", "a"), step("c", "a")],
    "join": [step("a"), step("b"), step("c", "a", "b")],
    "diamond": [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")],
    "gap": [step("a"), step("b", "a", undo=False), step("c", "b")],
    "two gaps": [step("a"), step("b", "a", undo=False), step("c", "b", undo=False), step("d", "c")],
    "diamond with a gap": [step("a"), step("b", "a", undo=False), step("c", "a"), step("d", "b", "c")],
    "nothing to undo": [step("a", undo=False), pivot("ship", "a")],
    "in another order": [step("c", "b"), step("b", "a"), step("a")],
}

UNDONE_FIRST = [
    ("chain", {"a": {"b"}, "b": {"c"}, "c": set()}),
    ("chain with a pivot", {"a": {"b"}, "b": set()}),
    ("beside each other", {"a": set(), "b": set()}),
    ("fork", {"a": {"b", "c"}, "b": set(), "c": set()}),
    ("join", {"a": {"c"}, "b": {"c"}, "c": set()}),
    ("diamond", {"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}),
    ("gap", {"a": {"c"}, "c": set()}),
    ("two gaps", {"a": {"d"}, "d": set()}),
    ("diamond with a gap", {"a": {"c", "d"}, "c": {"d"}, "d": set()}),
    ("nothing to undo", {}),
    ("in another order", {"a": {"b"}, "b": {"c"}, "c": set()}),
]


@pytest.mark.parametrize(("shape", "first"), UNDONE_FIRST, ids=[case[0] for case in UNDONE_FIRST])
def test_undos_go_against_the_order_of_the_steps(shape: str, first: dict[str, set[str]]) -> None:
    plan = Plan(tuple(SHAPES[shape]))

    assert {each.name: set(plan.undone_first(each.name)) for each in plan.undoable} == first


@pytest.mark.parametrize("shape", SHAPES)
def test_no_undo_goes_before_that_of_a_step_behind_it(shape: str) -> None:
    plan = Plan(tuple(SHAPES[shape]))

    for each in plan.undoable:
        left, reached = list(plan.undone_first(each.name)), set()
        while left:
            reached.add(name := left.pop())
            left.extend(plan.undone_first(name))
        assert reached == {other.name for other in plan.undoable if each.name in plan.before(other.name)}


def test_a_step_knows_all_that_it_follows() -> None:
    plan = Plan(tuple(SHAPES["diamond"]))

    assert plan.before("d") == {"a", "b", "c"}
    assert plan.before("b") == {"a"}
    assert plan.before("a") == frozenset()


def test_only_what_follows_the_pivot_is_behind_it() -> None:
    plan = Plan(tuple(SHAPES["chain with a pivot"]))

    assert plan.pivot == plan["ship"]
    assert [each.name for each in plan.steps if plan.is_behind_pivot(each.name)] == ["tell"]


def test_without_a_pivot_nothing_is_behind_it() -> None:
    plan = Plan(tuple(SHAPES["chain"]))

    assert plan.pivot is None
    assert not any(plan.is_behind_pivot(each.name) for each in plan.steps)
