"""Types of arrays, by what they hold.

What belongs here: aliases that annotations of several rooms share. What does not: a class of one's own.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Half as wide, where values are inputs or weights and memory counts.
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]
# [n] group of each series, such as the node of a product level.
Groups = Names
# [k] places of rows in a frame or array.
Rows = npt.NDArray[np.intp]
# [n] number of each row's name in a list of names.
Codes = npt.NDArray[np.int64]
# [n] number of each series' group, as `np.unique` returns it.
GroupCodes = npt.NDArray[np.intp]
# [rows, inputs] what trees read.
InputMatrix = npt.NDArray[np.float32]
