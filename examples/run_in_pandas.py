"""A run as a data frame: how long each label was the best one, and the clearest moment of each.

streammm run films/ --out runs/films
python examples/run_in_pandas.py runs/films
"""

from __future__ import annotations

import sys

import streammm

if __name__ == "__main__":
    with streammm.open_run(sys.argv[1]) as run:
        frame = run.to_pandas()
    frame["seconds"] = frame["end_seconds"] - frame["start_seconds"]
    found = frame[frame["score"] > frame["other"]]
    print(found.groupby("label")["seconds"].sum().sort_values(ascending=False).to_string())
    clearest = found.loc[found.groupby("label")["score"].idxmax()]
    print(clearest[["label", "score", "source", "start_seconds"]].to_string(index=False))
