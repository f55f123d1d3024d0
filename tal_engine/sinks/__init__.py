"""Localizations to files: one module a form. Each writes whole files or nothing."""
