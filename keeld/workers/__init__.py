"""Processes of their own for vendors' libraries, because a driver call can hang and a new driver needs a new process.

A worker talks JSON lines over its standard streams, reads only, ends when its input ends, and imports nothing heavy.
`keeld.links.worker` starts and supervises it.
"""
