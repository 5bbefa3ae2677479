ARG BASE
FROM $BASE
ENV A=1 B="two words" C=three\ words
ENV OLD form of one
