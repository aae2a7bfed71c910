"""Which channels share a group: label builders, and ``doctor``, which finds groups that squash their channels."""

from gridnorm.nn.group_doctor import Diagnosis, GroupFinding, doctor
from gridnorm.nn.labels import contiguous, from_permutation, orbits, pruned, strided

__all__ = ["Diagnosis", "GroupFinding", "contiguous", "doctor", "from_permutation", "orbits", "pruned", "strided"]
