# syntax=docker/dockerfile:1
ARG BASE
FROM $BASE
ENV A=1
