"""Keep every batch of lines on disk until each database has confirmed it.

Theory of operation
-------------------
A *parcel* is up to about 5,000 lines, gzipped once, and stored as one file; what is posted is the stored bytes. A
parcel is *acknowledged* when this has happened, in this order:

    <seq>.tmp      written whole, short writes continued
    fdatasync      the bytes are on the disk
    link / rename  into the queue folder of every sink (one inode, so a second sink costs no second copy)
    fsync(folder)  the names are on the disk

A crash before the last step leaves a `*.tmp`, or a parcel that some sinks have and nobody was told of; the first is
removed at the next start, the second is sent, which is harmless. After the last step nothing short of the disk loses
it, because there is no ledger, no offset and no truncation that could disagree with the files.

    spool/
      lock                       flock: one process at a time
      00000000042.tmp            being written
      <sink>/queue/<parcel>      to be sent
      <sink>/sent/<parcel>       confirmed, kept for the linger: a sink that crashes may forget what it confirmed
      <sink>/dead/<seq>.lp       lines that the sink refuses for good, under the sink's own words
      damaged/                   what was in a queue and is no parcel

A parcel's name is `<sequence>-<lines>-<4 KiB blocks>.batch`: by sequence, because clocks jump; with its size, because
then a start needs one listing of names, and reads and checks nothing until it is sent.

A parcel's file is a header of 28 bytes and a gzip body (see `parcel`). The CRC covers everything behind itself.

Invariants
----------
- For every sink and at any moment: found at start + taken = stored + queued + dead + evicted, in lines.
- A file leaves `queue/` only by being confirmed, buried, evicted (counted by cause) or found damaged (counted).
- Memory grows by one integer for each waiting parcel.
- What cannot be written to disk waits in a ring in memory, bounded in bytes, oldest dropped first and counted; it is
  sent from there if a sink is up, and written to disk when the disk is back.
- Everything here runs in one thread, blocks, and takes monotonic seconds as an argument where time matters.
"""

from __future__ import annotations

from keeld.spool.caps import Limits
from keeld.spool.parcel import Lane, Parcel
from keeld.spool.queue import Tally
from keeld.spool.spool import Spool

__all__ = ["Lane", "Limits", "Parcel", "Spool", "Tally"]
