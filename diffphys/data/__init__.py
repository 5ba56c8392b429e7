"""Real data in: named sets and files, as flat, scaled, labelled points."""

from ._labelled import LabelledData as LabelledData, load as load
