ARG BASE
FROM $BASE
ENV R=a\b S="a\b" T='a\b' U=a\\b V="a\\b" W=a\ b
