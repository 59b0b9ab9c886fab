"""Exercise checks accept the right answer and refuse others."""

import numpy as np
import pytest

from w2s_lib.book.check import WrongAnswer, check


def test_right(capsys):
    check(0.5, 0.5)
    check([1, np.nan], np.array([1.0, np.nan]))
    assert capsys.readouterr().out.count("✓") == 2


def test_wrong():
    with pytest.raises(WrongAnswer, match="values are not"):
        check(0.5, 0.6)
    with pytest.raises(WrongAnswer, match=r"shape \(2,\), got \(3,\)"):
        check([1, 2, 3], [1, 2])
