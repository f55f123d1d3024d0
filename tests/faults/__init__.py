"""Fault sweeps as SQLite does them: the n-th writing call fails, the process is killed, the disk is full.

`injector.c` makes the faults, `server.py` runs one command a trial in a forked process, `client.py` starts both,
`works.py` says what each command writes and promises, `sweep.py` runs the trials and judges them.
"""
