ARG BASE
FROM $BASE
ENV R=$1 S=$@ T=$* U=$? V=$$
