"""Attempts of strangers are bounded in the log: the first in a minute is an entry, the rest are counted."""

from domain.people.strangers import MOST_ENTRIES_AN_HOUR, Strangers


def test_the_first_of_each_kind_and_source_in_a_minute_is_told_and_the_rest_is_counted_in_the_next() -> None:
    strangers = Strangers()
    assert strangers.came("used key", "10.0.0.1", now=0) == 0
    assert [strangers.came("used key", "10.0.0.1", now=second) for second in range(1, 60)] == [None] * 59
    assert strangers.came("another kind", "10.0.0.1", now=1) == 0
    assert strangers.came("used key", "10.0.0.2", now=1) == 0
    assert strangers.came("used key", "10.0.0.1", now=60) == 59
    assert strangers.came("used key", "10.0.0.1", now=120) == 0


def test_an_hour_has_sixty_entries_whoever_comes_and_the_next_one_tells_of_all_others() -> None:
    strangers = Strangers()
    told = [strangers.came("used key", f"10.0.{n // 250}.{n % 250}", now=n / 10) for n in range(1_000)]
    assert [untold for untold in told if untold is not None] == [0] * MOST_ENTRIES_AN_HOUR
    assert strangers.came("used key", "10.9.9.9", now=3_599) is None
    assert strangers.came("used key", "10.9.9.9", now=3_600.0) == 1_000 - MOST_ENTRIES_AN_HOUR + 1


def test_a_million_sources_are_not_all_remembered_and_none_is_uncounted() -> None:
    strangers = Strangers()
    told = [strangers.came("used key", str(n), now=n * 61.0) for n in range(20_000)]
    assert None not in told
    assert len(strangers._knocking) <= 60
    strangers = Strangers()
    told = [strangers.came("used key", str(n % 7_000), now=n / 100) for n in range(100_000)]
    untold, entries = sum(n for n in told if n), sum(n is not None for n in told)
    pending = strangers._untold_of_others + sum(knocking.untold for knocking in strangers._knocking.values())
    assert untold + entries + pending == 100_000
