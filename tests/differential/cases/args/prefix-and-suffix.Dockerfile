ARG BASE
FROM $BASE
ENV P=/a/b/c.tar.gz
ENV R="${P#*/}|${P##*/}|${P%.*}|${P%%.*}|${P%x}"
