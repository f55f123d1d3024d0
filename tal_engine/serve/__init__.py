"""An engine as a service: HTTP, WebSocket and server-sent events (`tal serve`; extra ``serve``)."""
