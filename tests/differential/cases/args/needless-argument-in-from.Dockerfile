ARG BASE
FROM ${BASE:-nothing}
