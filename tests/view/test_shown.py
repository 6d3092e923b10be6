"""Of which volumes the kernel may have an entry."""

from volfs.view.shown import ALL, Shown


def test_what_was_there_before_this_daemon_may_have_been_seen() -> None:
    assert Shown(8).forget(7)


def test_what_was_made_since_was_not_seen_until_somebody_looked() -> None:
    shown = Shown(8)
    assert not shown.forget(8)
    shown.note(9)
    assert shown.forget(9)


def test_a_volume_is_gone_once() -> None:
    shown = Shown(8)
    shown.note(8)
    shown.forget(8)
    assert not shown.forget(8)


def test_a_listing_shows_all_up_to_its_last() -> None:
    shown = Shown(8)
    shown.note(9)
    shown.note(30)
    shown.note_all(20)
    shown.note_all(10)
    assert [shown.forget(serial) for serial in (9, 15, 20, 21, 30)] == [True, True, True, False, True]


def test_beside_a_new_catalogue_everything_may_have_been_seen() -> None:
    assert Shown(ALL).forget(1 << 50)
