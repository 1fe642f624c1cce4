"""Judge recorded batches as they would have been judged live, in simulated time and as fast as the machine can.

The watch is the one that runs live, driven by the times in the recording in place of the clocks. Lines are taken one at
a time, so a recording may be longer than any memory.
"""

from keeld.replay.tape import Replay, Tally

__all__ = ["Replay", "Tally"]
