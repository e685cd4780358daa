"""Types of arrays, by what they hold.

What belongs here: aliases that annotations of several rooms share. What does not: a class of one's own.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# [n] group of each series, such as the node of a product level.
Groups = npt.NDArray[np.str_]
# [k] places of rows in a frame or array.
Rows = npt.NDArray[np.intp]
