"""`tal studio`: label videos by single clicks while a plan learns from them (docs/studio.md)."""
