"""Whether a connection is read from and written to."""

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Nothing is read while requests wait for their turn, even if the exchange under way asks for its body."""

    is_held = False

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()
