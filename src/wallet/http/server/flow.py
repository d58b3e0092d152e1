"""Whether a connection is read from and written to."""

from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Reads nothing while requests wait to be parsed, even if the current exchange asks for its body."""

    is_stopped = False
    _waiting: Callable[[], None] | None = None

    def resume_reading(self) -> None:
        if not self.is_stopped:
            super().resume_reading()

    def when_writable(self, write: Callable[[], None]) -> None:
        """Call `write` once the client has read enough. One answer at a time waits: later requests are not begun."""
        self._waiting = write

    def resume_writing(self) -> None:
        super().resume_writing()
        write, self._waiting = self._waiting, None
        if write is not None:
            write()
