"""Localizations to files: one module per format. Each writes whole files or nothing."""
