"""How many times slower than real hardware this machine is: 1, but for where every instruction is translated.

`tests/system/arm64.py` sets `VOUCHBOX_SLOWNESS`; limits on time are stretched by it, everything else is tested as ever.
"""

import os
from typing import Final

SLOWNESS: Final = float(os.environ.get("VOUCHBOX_SLOWNESS", "1"))
