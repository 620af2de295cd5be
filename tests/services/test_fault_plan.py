"""The plan of misbehaviour: a pure function."""

from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.services.damage import DAMAGES, damaged_rows
from include.services.faults import PRESETS, FaultSettings, Kind, decide, switched

# No deadline: the machine may be busy with other tests.
QUICK = hypothesis_settings(max_examples=60, deadline=None)
RATES = st.floats(0, 1 / 3)
SETTINGS = st.builds(
    FaultSettings,
    seed=st.integers(),
    unavailable=RATES,
    rate_limited=RATES,
    dropped=st.floats(0, 1 / 6),
    failed_after=st.floats(0, 1 / 6),
    slow=RATES,
    opening=st.booleans(),
)
DAYS = st.dates(date(2013, 1, 1), date(2013, 12, 29))


@QUICK
@given(SETTINGS, st.text(), st.integers(0, 50))
def test_no_target_fails_three_times_in_a_row(settings: FaultSettings, target: str, asked: int) -> None:
    """Whatever the settings, one of three attempts in a row is served, so that a client that goes on asking gets on."""
    kinds = [decide(settings, target, asked + more).kind for more in range(3)]
    assert Kind.SERVED in kinds


@QUICK
@given(st.integers(), DAYS, st.sampled_from([100, 200]))
def test_the_demo_deals_every_fault_to_any_three_days(seed: int, first: date, limit: int) -> None:
    """With every seed, the first pages of three days in a row meet 503, 429 with Retry-After 1, a cut and slowness."""
    settings = switched(PRESETS["demo"], {"seed": seed})
    met = set()
    for later in range(3):
        target = f"/flights?date={first + timedelta(days=later)}&limit={limit}"
        for asked in range(2):
            decision = decide(settings, target, asked)
            met.add((decision.kind, decision.retry_after, decision.delay))
    assert met == {
        (Kind.UNAVAILABLE, 1, 0.0),
        (Kind.RATE_LIMITED, 1, 0.0),
        (Kind.CUT, None, 0.0),
        (Kind.SERVED, None, 0.3),
        (Kind.SERVED, None, 0.0),
    }


def test_rates_are_kept() -> None:
    """Over many targets the first attempts meet each fault at its rate, and half of the 503 name a wait."""
    settings = FaultSettings(seed=3, unavailable=0.2, rate_limited=0.1, dropped=0.1, failed_after=0.1, slow=0.3)
    decisions = [decide(settings, f"/planes?page={page}", 0) for page in range(5000)]
    kinds = Counter(decision.kind for decision in decisions)
    assert kinds[Kind.UNAVAILABLE] == pytest.approx(1000, rel=0.1)
    assert kinds[Kind.RATE_LIMITED] == pytest.approx(500, rel=0.15)
    assert kinds[Kind.DROPPED] == pytest.approx(250, rel=0.2)
    assert kinds[Kind.CUT] == pytest.approx(250, rel=0.2)
    assert kinds[Kind.FAILED] == pytest.approx(500, rel=0.15)
    assert sum(decision.delay > 0 for decision in decisions) == pytest.approx(0.3 * kinds[Kind.SERVED], rel=0.1)
    waits = Counter((decision.kind, decision.retry_after) for decision in decisions)
    assert waits[Kind.UNAVAILABLE, 1] == pytest.approx(500, rel=0.15)
    assert waits[Kind.RATE_LIMITED, None] == 0


def test_the_seed_chooses_the_targets() -> None:
    """At the same rates two seeds hit different targets, and one seed always the same."""
    hit = [
        [decide(FaultSettings(seed=seed, unavailable=0.5), f"/planes?page={page}", 0).kind for page in range(64)]
        for seed in (1, 2, 1)
    ]
    assert hit[0] == hit[2] != hit[1]


def test_without_faults_everything_is_served_at_once() -> None:
    """The preset "none" decides for a plain answer, always."""
    targets = [f"/flights?date=2013-01-{day:02}" for day in range(1, 32)]
    decisions = {decide(PRESETS["none"], target, asked) for target in targets for asked in range(6)}
    assert {(decision.kind, decision.delay) for decision in decisions} == {(Kind.SERVED, 0.0)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preset": "chaos"}, "preset is one of none, demo"),
        ({"preset": None}, "preset is one of none, demo"),
        ({"unavailible": 0.5}, "unknown setting unavailible"),
        ({"unavailable": 1.5}, "unavailable is a rate"),
        ({"unavailable": "often"}, "float"),
        ({"unavailable": 0.6, "dropped": 0.6}, "exceed 1"),
        ({"dropped": 0.6, "failed_after": 0.6}, "exceed 1"),
        ({"failed_after": -0.1}, "failed_after is a rate"),
        ({"honours_keys": "no"}, "bool"),
        ({"late": -1}, "late is 0 or more"),
        ({"latency": -1}, "latency is 0 or more"),
        ({"latency": float("inf")}, "latency is 0 or more"),
        ({"malformed_per_day": 2.5}, "int"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object], words: str) -> None:
    """A wrong switch raises with words that name what is wrong."""
    with pytest.raises(ValueError, match=words):
        switched(PRESETS["demo"], changes)


def test_a_preset_keeps_the_seed_and_lets_fields_be_changed() -> None:
    """Switching to a preset replaces every field but the seed; fields given beside it win."""
    current = FaultSettings(seed=9, unavailable=1.0, latency=4.0)
    assert switched(current, {"preset": "none", "slow": 0.5}) == FaultSettings(seed=9, slow=0.5)
    assert switched(current, {"latency": 0}) == FaultSettings(seed=9, unavailable=1.0)


@QUICK
@given(st.integers(), st.integers(0, 5), st.lists(st.integers(0, 9), min_size=3, max_size=3))
def test_damage_depends_on_seed_and_day_alone(seed: int, per_day: int, sizes: list[int]) -> None:
    """A day has the same damages, counted from its first row, wherever it stands in the file and whatever else does."""
    days = {}
    start = 0
    for number, size in enumerate(sizes, start=1):
        days[date(2013, 1, number)] = slice(start, start + size)
        start += size
    plan = damaged_rows(seed, per_day, days)
    for day, where in days.items():
        within = {row - where.start: name for row, name in plan.items() if where.start <= row < where.stop}
        size = where.stop - where.start
        assert len(within) == min(per_day, size)
        assert within == damaged_rows(seed, per_day, {day: slice(0, size)})
    assert set(plan.values()) <= set(DAMAGES)
