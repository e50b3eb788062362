"""What is seen, heard and said in a file, a line a segment, as it is found.

python examples/classify_file.py talk.mp4 speech music "a dog barking"
"""

from __future__ import annotations

import sys

import streammm

if __name__ == "__main__":
    source, *labels = sys.argv[1:]
    for row in streammm.classify(source, labels or None):
        label, score = row.labels[0]
        heard = row.modalities["audio"]
        print(f"{row.start_seconds:7.1f} s  {label} {score:.2f}, sound counts {heard.weight:.0%} ({heard.status})")
