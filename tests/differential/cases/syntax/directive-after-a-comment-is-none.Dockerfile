# a comment
# escape=`
ARG BASE
FROM $BASE
ENV A=a\ b
