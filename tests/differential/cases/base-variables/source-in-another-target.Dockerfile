ARG BASE
FROM $BASE AS other
FROM $BASE
COPY --from=other /${FROM_BASE:+data}/f /${FROM_BASE%?value}/
