"""Moments and spans in words: no moment that a system may name breaks a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from axiom_tui.model.times import age, clock, days, span

ZONES = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
NOW = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)


@given(st.datetimes(timezones=ZONES), ZONES)
def test_every_moment_has_words_in_every_zone(when: datetime, zone: timezone) -> None:
    assert clock(when, NOW.astimezone(zone))
    assert age(when, NOW)


def test_the_first_and_the_last_hours_have_words() -> None:
    east, west = timezone(timedelta(hours=9)), timezone(timedelta(hours=-9))
    assert clock(datetime.max.replace(tzinfo=UTC), NOW.astimezone(east)) == "31 Dec 9999"
    assert clock(datetime.min.replace(tzinfo=UTC), NOW.astimezone(west)) == "1 Jan 1"


def test_the_further_away_the_coarser() -> None:
    assert clock(NOW - timedelta(minutes=2), NOW) == "14:00"
    assert clock(NOW - timedelta(days=2), NOW) == "20 Nov 14:02"
    assert clock(NOW - timedelta(days=400), NOW) == "18 Oct 2025"


def test_spans_have_one_unit_rounded_down() -> None:
    lengths = {"0s": -5, "59s": 59, "4m": 299, "47h": 47 * 3600 + 3599, "2d": 48 * 3600}
    assert {span(timedelta(seconds=seconds)) for seconds in lengths.values()} == set(lengths)


def test_days_left() -> None:
    left = (timedelta(hours=-1), timedelta(hours=23), timedelta(days=1), timedelta(days=5, hours=23))
    assert [days(length) for length in left] == ["within a day", "within a day", "tomorrow", "in 5 days"]
