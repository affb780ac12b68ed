"""What is kept of the console."""

from __future__ import annotations

from typing import Any

from queueserver_manager.api.console_stream import KEPT_CHARACTERS, KEPT_MESSAGES, ConsoleStream


def stream_with(loop_thread: Any, texts: list[str]) -> ConsoleStream:
    stream: ConsoleStream = loop_thread.call(ConsoleStream, 3)

    def publish() -> None:
        for text in texts:
            stream.publish(text, 1.0)
            stream.flush()

    loop_thread.call(publish)
    return stream


def test_the_newest_messages_are_kept(loop_thread: Any) -> None:
    stream = stream_with(loop_thread, [f"{number}\n" for number in range(KEPT_MESSAGES + 10)])
    assert (stream.first, stream.last) == (3 * 2**32 + 11, 3 * 2**32 + KEPT_MESSAGES + 10)
    assert [message.text for message in stream.after(stream.first - 5, 2)] == ["10\n", "11\n"]
    assert [message.text for message in stream.newest(2)] == [f"{KEPT_MESSAGES + 8}\n", f"{KEPT_MESSAGES + 9}\n"]


def test_characters_are_limited_and_the_newest_message_is_kept_whole(loop_thread: Any) -> None:
    stream = stream_with(loop_thread, ["x" * (KEPT_CHARACTERS // 2), "y", "z" * (KEPT_CHARACTERS // 2)])
    assert [message.text[0] for message in stream.newest(10)] == ["y", "z"]
    stream = stream_with(loop_thread, ["x", "y" * 2 * KEPT_CHARACTERS])
    assert [message.text[0] for message in stream.newest(10)] == ["y"]


def test_nothing_is_kept_of_nothing(loop_thread: Any) -> None:
    stream = stream_with(loop_thread, [])
    assert stream.last == stream.first - 1
    assert stream.after(0, 10) == stream.newest(10) == []
