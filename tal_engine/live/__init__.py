"""Live sources: cameras, RTSP and HLS connections, their clocks, queues and coverage."""
