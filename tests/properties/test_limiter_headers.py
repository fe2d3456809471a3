"""Whatever a bucket's level when its headers are printed, the window read off them is the real one or none.

With less than ten units used, a chance match is possible; the script therefore wants two headers that agree, and any
window but a minute at two levels of use.
"""

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from pressroom.limits.headers import Quota


@given(
    limit=st.integers(10, 2_000_000),
    window=st.sampled_from([10.0, 60.0, 86400.0]),
    used=st.floats(0.01, 1.0),
)
def test_a_window_is_read_right_or_not_at_all(limit: int, window: float, used: float) -> None:
    really_used = used * limit
    assume(really_used >= 10)
    printed = Quota(
        limit=float(limit),
        remaining=float(math.floor(limit - really_used)),
        reset_seconds=round(really_used * window / limit, 3),
    )

    found = printed.window_seconds()

    assert found is None or abs(found - window) <= 0.02 * window
