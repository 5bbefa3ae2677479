ARG BASE
FROM $BASE
MAINTAINER Ada Example <ada@example.com>
