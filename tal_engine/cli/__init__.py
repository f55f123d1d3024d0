"""The command line `tal`: arguments, printing and exit statuses around the library."""
