"""Of which volumes the kernel may have an entry."""

from volfs.view.shown import Shown


def test_what_was_there_before_this_daemon_may_have_been_seen():
    assert Shown(8).forget(7)


def test_what_was_made_since_was_not_seen_until_somebody_looked():
    shown = Shown(8)
    assert not shown.forget(8)
    shown.note(9)
    assert shown.forget(9)


def test_a_volume_is_gone_once():
    shown = Shown(8)
    shown.note(8)
    shown.forget(8)
    assert not shown.forget(8)
