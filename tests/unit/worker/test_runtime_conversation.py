from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queueserver_common.link.codec import decode, encode
from queueserver_common.link.messages import (
    HEARTBEAT_PERIOD,
    Command,
    CommandResult,
    Console,
    EnvironmentReady,
    Event,
    EventsStored,
    ExitStatus,
    Heartbeat,
    Hello,
    Introduce,
    ItemEnded,
    ItemStarted,
    Resume,
    SnapshotChanged,
    Terminate,
    Welcome,
)
from queueserver_common.spool import SpoolWriter, TerminationMessage
from queueserver_worker.runtime.console_buffer import ConsoleBuffer
from queueserver_worker.runtime.conversation import Conversation, Identity
from queueserver_worker.runtime.late_answers import LateAnswers
from queueserver_worker.runtime.reports import Reports
from queueserver_worker.runtime.state import WorkerState, engine_changed


class Talk:
    """A conversation whose socket and manager are in the test's hands."""

    def __init__(self, directory: Path) -> None:
        self.state = WorkerState()
        self.reports = Reports(SpoolWriter(str(directory), "opening"), TerminationMessage(""))
        self.console = ConsoleBuffer()
        self.answered: list[str] = []
        self.dismissals: list[str] = []
        self.terminations: list[tuple[float, str]] = []
        self.now = 0.0
        self.late_answers = LateAnswers()
        self.conversation = Conversation(
            Identity("opening", "token", 1, "host", 0.0, "0"),
            self.state,
            self.reports,
            self.console,
            self.answer,
            self.dismissals.append,
            lambda grace, cause: self.terminations.append((grace, cause)),
            self.late_answers,
        )
        self.conversation.started(self.now)

    def answer(self, command: Command) -> CommandResult:
        self.answered.append(command.command_id)
        return CommandResult(command.command_id, ok=True)

    def hear(self, message: Any) -> None:
        self.conversation.received(message, self.now)

    def say(self, at_most: int = 1000) -> list[Any]:
        said = []
        while len(said) < at_most and (outgoing := self.conversation.next_outgoing(self.now)) is not None:
            said.append(decode(outgoing.frame))
            outgoing.sent()
        return said

    def attach(self, epoch: int = 1, stored: int = 0) -> Hello:
        self.conversation.connected(self.now)
        (hello,) = self.say()
        assert isinstance(hello, Hello)
        self.hear(Welcome(epoch, stored))
        return hello

    def end(self, number: int) -> ItemEnded:
        ended = ItemEnded(f"item-{number}", ExitStatus.COMPLETED, 1.0, 2.0)
        self.reports.add(ended)
        return ended


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    return Talk(tmp_path)


def test_nothing_is_said_without_a_connection_and_only_a_hello_before_the_welcome(talk: Talk) -> None:
    talk.end(1)
    talk.console.append("text")
    assert talk.say() == []
    talk.conversation.connected(0.0)
    (hello,) = talk.say()
    assert isinstance(hello, Hello)
    assert talk.say() == []


def test_after_the_welcome_come_what_the_store_lacks_and_the_console(talk: Talk) -> None:
    first, second = talk.end(1), talk.end(2)
    talk.console.append("text")
    talk.attach(stored=1)
    event, console = talk.say()
    assert event == Event(2, second)
    assert isinstance(console, Console)
    assert console.text == "text"
    assert first != second


def test_a_state_is_told_before_the_event_that_followed_it(talk: Talk) -> None:
    talk.attach()
    talk.say()
    talk.state.change(lambda view: engine_changed(view, "idle"))
    ended = talk.end(1)
    snapshot, event = talk.say()
    assert isinstance(snapshot, SnapshotChanged)
    assert event == Event(1, ended)


def test_only_the_latest_state_is_told_but_a_pause_is_never_skipped(talk: Talk) -> None:
    talk.attach()
    for state in ("running", "pausing", "paused", "running", "pausing", "paused", "running", "idle"):
        talk.state.change(lambda view, s=state: engine_changed(view, s))
    told = [message.snapshot.re_state for message in talk.say()]
    assert told == ["pausing", "paused", "pausing", "paused", "idle"]
    talk.state.change(lambda view: replace(view))
    assert talk.say() == []


def test_console_text_is_gathered_between_deliveries(talk: Talk) -> None:
    talk.attach()
    talk.console.append("one\n")
    assert [message.text for message in talk.say()] == ["one\n"]
    talk.conversation.gather_console(talk.now)
    talk.console.append("two\n")
    talk.console.append("three\n")
    assert talk.say() == []
    assert talk.now < talk.conversation.wake_at() <= talk.now + 0.05
    talk.now = talk.conversation.wake_at()
    assert [message.text for message in talk.say()] == ["two\nthree\n"]


def test_an_outgoing_message_stays_the_same_until_it_was_sent(talk: Talk) -> None:
    talk.end(1)
    talk.attach()
    first, again = talk.conversation.next_outgoing(0.0), talk.conversation.next_outgoing(0.0)
    assert first is not None
    assert again is not None
    assert first.frame == again.frame


def test_without_a_connection_there_is_nothing_to_wake_for(talk: Talk) -> None:
    talk.conversation.disconnected(talk.now)
    talk.now += 10 * HEARTBEAT_PERIOD
    assert talk.conversation.next_outgoing(talk.now) is None
    assert talk.conversation.wake_at() == math.inf


def test_a_heartbeat_is_due_every_second(talk: Talk) -> None:
    talk.attach()
    talk.now = HEARTBEAT_PERIOD
    assert talk.say() == [Heartbeat()]
    assert talk.say() == []
    assert talk.conversation.wake_at() == 2 * HEARTBEAT_PERIOD


def test_a_command_is_carried_out_once_and_answered_every_time(talk: Talk) -> None:
    talk.attach()
    for _ in range(3):
        talk.hear(Command("a", 1, Resume()))
    assert talk.say() == [CommandResult("a", ok=True)] * 3
    assert talk.answered == ["a"]


def test_lower_epochs_are_void(talk: Talk) -> None:
    talk.attach(epoch=7)
    talk.hear(Command("a", 6, Resume()))
    (refused,) = talk.say()
    assert not refused.ok
    assert talk.answered == []
    talk.hear(Command("a", 7, Resume()))
    assert talk.say() == [CommandResult("a", ok=True)]
    talk.conversation.disconnected(1.0)
    assert talk.attach(epoch=6).epoch_seen == 7
    assert talk.conversation.alone_since == 1.0


def test_being_alone_is_counted_from_the_last_welcome(talk: Talk) -> None:
    assert talk.conversation.alone_since == 0.0
    talk.now = 3.0
    talk.attach()
    assert talk.conversation.alone_since is None
    talk.conversation.disconnected(5.0)
    talk.conversation.connected(6.0)
    talk.hear(Introduce())
    assert talk.conversation.alone_since == 5.0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.just("item"),
            st.just("reconnect"),
            st.just("introduce"),
            st.just("restart"),
            st.tuples(st.just("deliver"), st.integers(0, 4), st.booleans()),
        ),
        max_size=60,
    )
)
def test_a_manager_that_stores_events_in_order_misses_none_whatever_happens_to_the_link(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    talk = Talk(tmp_path_factory.mktemp("t"))
    talk.reports.add(EnvironmentReady(b"{}", b"{}"))
    stored: list[Any] = []
    count = 0
    connected = False

    def deliver(limit: int, lost: bool) -> None:
        for message in talk.say(limit):
            if lost:
                continue
            if isinstance(message, Hello):
                talk.hear(Welcome(1, len(stored)))
            elif isinstance(message, Event):
                assert message.seq <= len(stored) + 1, "an event was skipped"
                if message.seq == len(stored) + 1:
                    stored.append(message.body)
                talk.hear(EventsStored(len(stored)))

    expected: list[Any] = [EnvironmentReady(b"{}", b"{}")]
    for step in steps:
        match step:
            case "item":
                count += 1
                expected.append(ItemStarted(f"item-{count}", 1.0))
                talk.reports.add(expected[-1])
                expected.append(talk.end(count))
            case "reconnect":
                talk.conversation.disconnected(0.0)
                talk.conversation.connected(0.0)
                connected = True
            case "introduce" if connected:
                talk.hear(Introduce())
            case "restart":  # the store lost its last writes
                del stored[-2:]
                talk.conversation.disconnected(0.0)
                talk.conversation.connected(0.0)
                connected = True
            case ("deliver", limit, lost):
                if lost:  # whatever is lost is lost together with the connection
                    deliver(limit, lost=True)
                    talk.conversation.disconnected(0.0)
                    talk.conversation.connected(0.0)
                    connected = True
                else:
                    deliver(limit, lost=False)
    talk.conversation.connected(0.0)
    deliver(10_000, lost=False)
    deliver(10_000, lost=False)
    assert stored == expected
    assert talk.reports.unstored == 0


def test_frames_of_the_conversation_are_what_the_codec_makes(talk: Talk) -> None:
    talk.attach()
    ended = talk.end(1)
    outgoing = talk.conversation.next_outgoing(0.0)
    assert outgoing is not None
    assert outgoing.frame == encode(Event(1, ended))


def test_the_end_is_ordered_by_the_present_manager_only(talk: Talk) -> None:
    talk.attach(epoch=5)
    talk.hear(Terminate(4, 1.0, "An older manager ends it"))
    assert talk.terminations == []
    talk.hear(Terminate(5, 2.5, "The environment is destroyed"))
    assert talk.terminations == [(2.5, "The environment is destroyed")]
