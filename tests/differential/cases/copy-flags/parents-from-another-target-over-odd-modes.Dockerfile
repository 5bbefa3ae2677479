ARG BASE
FROM $BASE
FROM $BASE
COPY --parents --from=0 /home/app /var/www /var/
